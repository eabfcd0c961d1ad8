"""Attention by torch, by hand in float64, and by ONNX Runtime are the same attention."""

from collections.abc import Callable

import numpy as np
import onnxruntime
import pytest
import torch
from torch import Tensor

from training.export.attention import ATTENTION, Memory, add_attention
from training.export.draft import Draft
from training.nn.attention import (
    AdditiveAttention,
    Attention,
    DotAttention,
    MultiHeadAttention,
    MultiplicativeAttention,
    valid_steps,
)
from training.nn.reference import looking_back as reference

QUERIED, FEATURES, BATCH, TIME, SOURCE = 6, 8, 3, 4, 5
LENGTHS = (5, 1, 3)
AS_FLOAT64 = {"atol": 1e-12, "rtol": 1e-10}
"""Sums of a dozen terms in another order."""
AS_FLOAT32 = {"atol": 2e-6, "rtol": 2e-5}
"""Some ten roundings of 6e-8, through one exponential."""

Reference = reference.Additive | reference.Multiplicative | reference.Dot | reference.MultiHead


def weights(module: Attention, name: str) -> np.ndarray:
    return dict(module.named_parameters())[name].detach().double().numpy()


def by_hand(module: Attention) -> Reference:
    match module:
        case AdditiveAttention():
            names = ("queries.weight", "keys.weight", "energy.weight")
            return reference.Additive(*(weights(module, name) for name in names))
        case MultiplicativeAttention():
            return reference.Multiplicative(weights(module, "queries.weight"))
        case DotAttention():
            return reference.Dot()
        case MultiHeadAttention():
            names = ("queries", "keys", "values", "joined")
            parts = (weights(module, f"{name}.weight") for name in names)
            return reference.MultiHead(module.heads, *parts)
        case _:
            raise TypeError(module)


MAKE: dict[str, Callable[[], Attention]] = {
    "additive": lambda: AdditiveAttention(QUERIED, FEATURES, hidden=7),
    "multiplicative": lambda: MultiplicativeAttention(QUERIED, FEATURES),
    "dot": lambda: DotAttention(FEATURES),
    "multi_head": lambda: MultiHeadAttention(QUERIED, FEATURES, heads=4),
}
every_kind = pytest.mark.parametrize("kind", MAKE)


def rows(kind: str) -> tuple[Tensor, Tensor]:
    """Queries `[batch, time, queried]` and memory `[batch, source_time, features]`."""
    torch.manual_seed(1)
    queried = FEATURES if kind == "dot" else QUERIED
    return (
        torch.randn(BATCH, TIME, queried, dtype=torch.float64, requires_grad=True),
        torch.randn(BATCH, SOURCE, FEATURES, dtype=torch.float64, requires_grad=True),
    )


@every_kind
def test_torch_is_the_reference(kind: str):
    torch.manual_seed(0)
    module, (queries, memory) = MAKE[kind]().double(), rows(kind)
    valid = valid_steps(torch.tensor(LENGTHS), SOURCE)
    seen = module(queries, memory, valid)
    wanted = by_hand(module).forward(
        queries.detach().numpy(), memory.detach().numpy(), valid.numpy()
    )
    np.testing.assert_allclose(seen.context.detach(), wanted.context, **AS_FLOAT64)
    np.testing.assert_allclose(seen.weights.detach(), wanted.weights, **AS_FLOAT64)


@every_kind
def test_gradients_by_hand_are_those_of_torch(kind: str):
    torch.manual_seed(0)
    module, (queries, memory) = MAKE[kind]().double(), rows(kind)
    valid = valid_steps(torch.tensor(LENGTHS), SOURCE)
    upstream = torch.randn(BATCH, TIME, FEATURES, dtype=torch.float64)
    module(queries, memory, valid).context.backward(upstream)
    wanted = by_hand(module).backward(
        queries.detach().numpy(),
        memory.detach().masked_fill(~valid.unsqueeze(-1), 0.0).numpy(),
        valid.numpy(),
        upstream=upstream.numpy(),
    )
    assert queries.grad is not None
    assert memory.grad is not None
    np.testing.assert_allclose(queries.grad, wanted.queries, **AS_FLOAT64)
    np.testing.assert_allclose(memory.grad[valid], wanted.memory[valid.numpy()], **AS_FLOAT64)
    assert (memory.grad[~valid] == 0).all()
    for name, parameter in module.named_parameters():
        np.testing.assert_allclose(parameter.grad, wanted.parameters[name], **AS_FLOAT64)


@every_kind
def test_onnx_is_the_reference_whatever_lies_in_the_padding(kind: str):
    torch.manual_seed(0)
    module, (queries, memory) = MAKE[kind](), rows(kind)
    valid = valid_steps(torch.tensor(LENGTHS), SOURCE).numpy()
    asked, held = queries.detach().numpy(), memory.detach().numpy()
    wanted = by_hand(module).forward(asked, held, valid)
    dirty = np.where(valid[..., None], held, np.nan)
    context, seen = run_onnx(module, asked.astype(np.float32), dirty.astype(np.float32))
    np.testing.assert_allclose(context, wanted.context, **AS_FLOAT32)
    np.testing.assert_allclose(seen, wanted.weights, **AS_FLOAT32)
    assert (seen[:, :, :][np.broadcast_to(~valid[:, None], seen.shape)] == 0).all()


def run_onnx(module: Attention, queries: np.ndarray, memory: np.ndarray) -> list[np.ndarray]:
    draft = Draft()
    add_attention(draft, module, "queries", Memory("memory", "lengths"))
    model = draft.close(
        [
            ("queries", "float32", ("batch", "time", queries.shape[2])),
            ("memory", "float32", ("batch", "source_time", FEATURES)),
            ("lengths", "int32", ("batch",)),
        ],
        [
            ("context", "float32", ("batch", "time", FEATURES)),
            (ATTENTION, "float32", ("batch", "time", "source_time")),
        ],
    )
    session = onnxruntime.InferenceSession(model.SerializeToString())
    lengths = np.array(LENGTHS, np.int32)
    return session.run(None, {"queries": queries, "memory": memory, "lengths": lengths})

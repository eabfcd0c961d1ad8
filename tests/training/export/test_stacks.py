"""Every stack of every cell: its graph is torch and the NumPy reference, to the bit alone, in
company, in chunks and step by step."""

from dataclasses import dataclass

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.training.nn.reference.mirrored import EVERY_CELL, array, mirrored, stir
from training.config import Cell, Combine, ModelConfig
from training.export.claims import CHUNKS_EQUAL_WHOLE
from training.export.graph import build_graph
from training.export.lowering.step import step_graph
from training.export.verify import ONNX_EQUALS_TORCH, verify
from training.export.verify_lowered import Lowered, verify_step
from training.nn.cells import NORMALISED
from training.nn.models import LanguageModel
from training.nn.recurrent import RecurrentStack
from training.nn.reference.readout import ReadoutWeights, read_last, read_steps
from training.nn.reference.recurrence import Rows
from training.nn.reference.stack import run_stack
from training.runner import Array, Runner

FEATURES, HIDDEN = 5, 8
ROUNDING = 1e-5
"""float32 against float32 and float64, through six layers of 64 steps; mostly near 1e-6."""
SIX = pytest.param(6, marks=pytest.mark.slow)
DEEPEST: dict[Cell, int] = {"ln_lstm": 3}
"""What 64 steps of random weights may go through before roundings of 1e-7 grow to 1e-3: an LSTM
with norms inside, stacked higher, is compared on 20 steps, below."""
ROUNDING_OF_NORMS = 2e-4
"""Of cells with norms inside: what divides by the deviation of eight numbers that lie close to each
other widens their rounding, at every step anew."""
STEPPED: tuple[Cell, ...] = tuple(cell for cell in EVERY_CELL if cell not in ("gru", "gru_cho"))
"""The cells whose steps, written out, keep every bit. A GRU's are told apart in `test_step`."""


@dataclass(frozen=True, slots=True)
class Kind:
    """What a stack may be beside its cell and its depth."""

    bidirectional: bool = False
    combine: Combine = "concat"
    residual: bool = False
    layer_norm: bool = False


KINDS = {
    "plain": Kind(),
    "residual": Kind(residual=True),
    "normalised": Kind(layer_norm=True),
    "residual and normalised": Kind(residual=True, layer_norm=True),
    "both ways": Kind(bidirectional=True),
    "both ways summed": Kind(bidirectional=True, combine="sum"),
    "both ways averaged": Kind(bidirectional=True, combine="mean", residual=True),
}


def stack(cell: Cell, layers: int, kind: Kind) -> RecurrentStack:
    torch.manual_seed(0)
    made = RecurrentStack(
        cell,
        FEATURES,
        HIDDEN,
        layers=layers,
        bidirectional=kind.bidirectional,
        combine=kind.combine,
        residual=kind.residual,
        layer_norm=kind.layer_norm,
    )
    for norm in made.norms:
        torch.nn.init.normal_(norm.weight, 1.0, 0.2)
        torch.nn.init.normal_(norm.bias, 0.0, 0.2)
    stir(made)
    return made.eval()


def rounding(cell: Cell) -> float:
    return ROUNDING_OF_NORMS if cell in NORMALISED else ROUNDING


def numbers(draw: np.random.Generator, shape: tuple[int, ...]) -> Array:
    return draw.normal(0, 1, (*shape, FEATURES)).astype(np.float32)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("layers", [1, 2, SIX])
@pytest.mark.parametrize("cell", EVERY_CELL)
def test_a_graph_is_torch_and_owes_nothing_to_company_padding_or_chunks(
    cell: Cell, layers: int, kind: str
):
    network = stack(cell, min(layers, DEEPEST.get(cell, layers)), KINDS[kind])
    seen = verify(network, build_graph(network))
    assert seen.pop(ONNX_EQUALS_TORCH) < rounding(cell)
    assert seen == dict.fromkeys(seen, 0.0)
    assert (CHUNKS_EQUAL_WHOLE in seen) is not KINDS[kind].bidirectional


@pytest.mark.parametrize("layers", [1, 2, SIX])
@pytest.mark.parametrize("cell", EVERY_CELL)
@pytest.mark.parametrize("kind", ["residual and normalised", "both ways averaged"])
def test_a_graph_is_the_reference_on_ragged_rows_from_any_state(cell: Cell, layers: int, kind: str):
    network = stack(cell, layers, KINDS[kind])
    assert_is_the_reference(network, lengths=(9, 1, 4, 6), seed=0)


@settings(max_examples=30, deadline=None)
@given(
    cell=st.sampled_from(EVERY_CELL),
    layers=st.integers(1, 6),
    kind=st.builds(
        Kind,
        bidirectional=st.booleans(),
        combine=st.sampled_from(["concat", "sum", "mean"]),
        residual=st.booleans(),
        layer_norm=st.booleans(),
    ),
    lengths=st.lists(st.integers(1, 20), min_size=1, max_size=6),
    seed=st.integers(0, 2**31),
)
def test_any_graph_on_any_rows_is_the_reference(
    cell: Cell, layers: int, kind: Kind, lengths: list[int], seed: int
):
    assert_is_the_reference(stack(cell, layers, kind), lengths=tuple(lengths), seed=seed)


@pytest.mark.parametrize("cell", STEPPED)
@pytest.mark.parametrize("layers", [1, 3])
@pytest.mark.parametrize("kind", ["plain", "residual and normalised"])
def test_single_steps_give_the_bits_of_the_whole(cell: Cell, layers: int, kind: str):
    graph = build_graph(stack(cell, layers, KINDS[kind]))
    step = step_graph(graph.model, graph.spec)
    assert {node.op_type for node in step.graph.node}.isdisjoint({"Scan", "LSTM"})
    lowered = Lowered(graph.spec, graph.model.SerializeToString(), step.SerializeToString())
    seen = verify_step(lowered, numbers)
    assert seen == dict.fromkeys(seen, 0.0)
    assert len(seen) == 2


def test_gates_shut_as_far_as_they_go_stay_numbers():
    """exp(-a) of a gate's sum is beyond float32 from -89 on; the fraction of two is not."""
    network = stack("min_lstm", 1, Kind())
    graph = build_graph(network)
    inputs = np.random.default_rng(0).normal(0, 500, (4, 6, FEATURES)).astype(np.float32)
    seen = Runner(graph.model.SerializeToString(), graph.spec).run(inputs).outputs
    expected = network(torch.from_numpy(inputs)).outputs.detach().numpy()
    np.testing.assert_allclose(seen, expected, rtol=ROUNDING, atol=ROUNDING)


@pytest.mark.parametrize("cell", EVERY_CELL)
def test_outputs_at_every_step_and_scalars_at_the_last_are_the_reference(cell: Cell):
    """A network with one output: many to many, and many to one where only the last is looked at."""
    torch.manual_seed(0)
    config = ModelConfig(cell=cell, hidden=HIDDEN, embedding=FEATURES)
    network = LanguageModel(config, num_tokens=1)
    network.embedding = torch.nn.Embedding(11, FEATURES)
    graph = build_graph(network.eval())
    tokens, lengths = np.random.default_rng(0).integers(0, 11, (3, 7)), np.array([7, 1, 4])
    seen = Runner(graph.model.SerializeToString(), graph.spec).run(tokens, lengths.astype(np.int32))

    rows = Rows(array(network.embedding.weight)[tokens], lengths)
    zero = tuple(map(array, network.stack.initial_state(3)))
    states = run_stack(mirrored(network.stack), rows, zero).outputs
    weights = ReadoutWeights(array(network.head.weight), array(network.head.bias))
    valid = np.arange(7) < lengths[:, None]
    every, last = read_steps(states, weights).outputs, read_last(states, lengths, weights).outputs
    np.testing.assert_allclose(seen.outputs[valid], every[valid], atol=rounding(cell))
    ends = seen.outputs[np.arange(3), lengths - 1]
    np.testing.assert_allclose(ends, last, atol=rounding(cell))


def assert_is_the_reference(
    network: RecurrentStack, *, lengths: tuple[int, ...], seed: int
) -> None:
    """float32 in ONNX Runtime against float64 in NumPy, relative to what is larger than 1."""
    graph = build_graph(network)
    draw, rows = np.random.default_rng(seed), len(lengths)
    inputs = numbers(draw, (rows, max(lengths)))
    runner = Runner(graph.model.SerializeToString(), graph.spec)
    state = tuple(
        draw.normal(0, 0.5, part.shape).astype(np.float32) for part in runner.initial_state(rows)
    )
    ran = runner.run(inputs, np.array(lengths, np.int32), state)
    reference = run_stack(
        mirrored(network),
        Rows(inputs.astype(np.float64), np.array(lengths)),
        tuple(part.astype(np.float64) for part in state),
    )
    valid = np.arange(max(lengths)) < np.array(lengths)[:, None]
    for ours, theirs in [
        (ran.outputs[valid], reference.outputs[valid]),
        *zip(ran.state, reference.state, strict=True),
    ]:
        allowed = rounding(network.cell)
        np.testing.assert_allclose(ours, theirs, atol=allowed, rtol=allowed)

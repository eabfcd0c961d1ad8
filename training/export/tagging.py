"""A tagger as a graph: the layers, scores of the tags, and beside them those of the intent."""

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto
from torch import Tensor, nn

from service.artifact.manifest import GraphSpec, TensorSpec
from training.export.draft import Draft
from training.export.recurrent import LENGTHS, MODEL_FILE, add_stack, state_specs
from training.nn.attention import AdditivePooling
from training.nn.recurrent import RecurrentStack
from training.nn.tagger import Tagger


def tagger_graph(network: Tagger) -> tuple[Draft, GraphSpec]:
    """Tokens to scores of every step. One that looks both ways has no state to carry."""
    stack = network.stack
    causal = not stack.fused.bidirectional
    shape = ("batch", "time", network.num_scores)
    spec = GraphSpec(
        file=MODEL_FILE,
        inputs=(TensorSpec(name="tokens", dtype="int64", shape=("batch", "time")),),
        lengths=LENGTHS,
        outputs=(TensorSpec(name="scores", dtype="float32", shape=shape),),
        state=state_specs(stack) if causal else (),
    )
    draft = Draft()
    if not causal:
        _add_zero_states(draft, stack)
    embedding = draft.constant("embedding", _array(network.embedding.table()))
    tokens = draft.transpose("tokens", "tokens_by_time", (1, 0))  # [time, batch]
    steps = draft.add("Gather", [embedding, tokens], "embedded")
    steps = add_stack(draft, stack, steps)
    scores = _add_linear(draft, steps, "tags", network.head)
    if network.intent is not None:
        intents = _add_intents(draft, steps, network)
        scores = draft.add("Concat", [scores, intents], "scores_by_time", {"axis": 2})
    draft.transpose(scores, "scores", (1, 0, 2))
    return draft, spec


def _add_zero_states(draft: Draft, stack: RecurrentStack) -> None:
    """What the layers begin with, where no state is handed in, under the names of one that is."""
    shape = draft.add("Shape", ["tokens"], "tokens_shape")
    rows = draft.add("Gather", [shape, draft.integers(0)], "num_rows")
    layers = draft.integers(stack.fused.num_layers * 2)
    sizes = [layers, rows, draft.integers(stack.fused.hidden_size)]
    whole = draft.add("Concat", sizes, "state_shape", {"axis": 0})
    for pair in state_specs(stack):
        draft.add("ConstantOfShape", [whole], pair.input)


def _add_intents(draft: Draft, steps: str, network: Tagger) -> str:
    """`[time, batch, intents]`; of a pooled one, the same at every step."""
    assert network.intent is not None, "asked for where there are intents"
    if network.pooling is None:
        return _add_linear(draft, steps, "intents", network.intent)
    pooled = _add_pooling(draft, steps, network.pooling)  # [1, batch, features]
    whole = _add_linear(draft, pooled, "intents_of_row", network.intent)
    zeros = draft.add("Mul", ["valid", draft.constant("zero", np.array(0, np.float32))], "nothing")
    return draft.add("Add", [zeros, whole], "intents")


def _add_pooling(draft: Draft, steps: str, pooling: AdditivePooling) -> str:
    """`AdditivePooling` over steps that come time first; no padding, whatever it holds, counts."""
    _add_valid(draft)
    keys = draft.add("Tanh", [_add_linear(draft, steps, "keys", pooling.keys)], "keys_bent")
    query = draft.constant("query", _array(pooling.query.weight).T)
    scores = draft.add("MatMul", [keys, query], "pool_scores")  # [time, batch, 1]
    low = draft.constant("minus_infinity", np.array(-np.inf, np.float32))
    scores = draft.add("Where", ["is_valid", scores, low], "pool_scores_valid")
    weights = draft.add("Softmax", [scores], "pool_weights", {"axis": 0})
    weighed = draft.add("Mul", [weights, steps], "weighed")
    return draft.add("ReduceSum", [weighed, draft.integers(0)], "pooled", {"keepdims": 1})


def _add_valid(draft: Draft) -> None:
    """`is_valid [time, batch, 1]`: which steps are before their row's end; `valid` as numbers."""
    shape = draft.add("Shape", ["tokens_by_time"], "time_and_batch")
    steps = draft.add("Gather", [shape, draft.integer(0)], "num_steps")
    step = draft.add("Range", [draft.integer(0), steps, draft.integer(1)], "step")
    step = draft.add("Unsqueeze", [step, draft.integers(1, 2)], "step_column")  # [time, 1, 1]
    ends = draft.add("Cast", [LENGTHS], "ends", {"to": TensorProto.INT64})
    ends = draft.add("Unsqueeze", [ends, draft.integers(0, 2)], "ends_row")  # [1, batch, 1]
    valid = draft.add("Less", [step, ends], "is_valid")
    draft.add("Cast", [valid], "valid", {"to": TensorProto.FLOAT})


def _add_linear(draft: Draft, tensor: str, name: str, layer: nn.Linear) -> str:
    weights = draft.constant(f"{name}_weights", _array(layer.weight).T)
    bias = draft.constant(f"{name}_bias", _array(layer.bias))
    return draft.add("Add", [draft.add("MatMul", [tensor, weights], f"{name}_product"), bias], name)


def _array(tensor: Tensor) -> NDArray[np.float32]:
    return tensor.detach().cpu().numpy()

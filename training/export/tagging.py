"""A tagger as a graph: the layers, scores of the tags, and beside them those of the intent."""

import numpy as np
from onnx import TensorProto

from service.artifact.graphs import GraphSpec, TensorSpec
from training.export.attention import ATTENTION
from training.export.draft import Draft
from training.export.lengths import LENGTHS, add_valid
from training.export.linear import add_linear
from training.export.recurrent import MODEL_FILE, add_layers, add_stack, state_specs
from training.export.weights import array
from training.nn.attention import AdditivePooling
from training.nn.tagger import Tagger


def tagger_graph(network: Tagger) -> tuple[Draft, GraphSpec]:
    """Tokens to scores of every step. One that looks both ways has no state to carry."""
    stack = network.stack
    causal = stack.directions == 1
    outputs = [_per_step("scores", network.num_scores)]
    if network.pooling is not None:
        outputs.append(_per_step(ATTENTION, network.pooling.query.out_features))
    spec = GraphSpec(
        file=MODEL_FILE,
        inputs=(TensorSpec(name="tokens", dtype="int64", shape=("batch", "time")),),
        lengths=LENGTHS,
        outputs=tuple(outputs),
        state=state_specs(stack) if causal else (),
    )
    draft = Draft()
    embedding = draft.constant("embedding", array(network.embedding.table()))
    tokens = draft.transpose("tokens", "tokens_by_time", (1, 0))  # [time, batch]
    steps = draft.add("Gather", [embedding, tokens], "embedded")
    steps = add_stack(draft, stack, steps) if causal else add_layers(draft, stack, steps)[0]
    scores = add_linear(draft, steps, "tags", network.head)
    if network.intent is not None:
        intents = _add_intents(draft, steps, network)
        scores = draft.add("Concat", [scores, intents], "scores_by_time", {"axis": 2})
    draft.transpose(scores, "scores", (1, 0, 2))
    return draft, spec


def _add_intents(draft: Draft, steps: str, network: Tagger) -> str:
    """`[time, batch, intents]`; of a pooled one, the same at every step."""
    assert network.intent is not None, "asked for where there are intents"
    if network.pooling is None:
        return add_linear(draft, steps, "intents", network.intent)
    pooled = _add_pooling(draft, steps, network.pooling)  # [1, batch, heads * features]
    whole = add_linear(draft, pooled, "intents_of_row", network.intent)
    zeros = draft.add("Mul", ["valid", draft.constant("zero", np.array(0, np.float32))], "nothing")
    return draft.add("Add", [zeros, whole], "intents")


def _add_pooling(draft: Draft, steps: str, pooling: AdditivePooling) -> str:
    """`AdditivePooling` over steps that come time first; no padding, whatever it holds, counts.

    The weights become the tensor `attention`.
    """
    _add_valid(draft)
    keys = draft.add("Tanh", [add_linear(draft, steps, "keys", pooling.keys)], "keys_bent")
    query = draft.constant("query", array(pooling.query.weight).T)
    scores = draft.add("MatMul", [keys, query], "pool_scores")  # [time, batch, heads]
    low = draft.constant("minus_infinity", np.array(-np.inf, np.float32))
    scores = draft.add("Where", ["is_valid", scores, low], "pool_scores_valid")
    weights = draft.add("Softmax", [scores], "pool_weights", {"axis": 0})
    draft.transpose(weights, ATTENTION, (1, 0, 2))
    by_head = draft.transpose(weights, "pool_weights_by_head", (1, 2, 0))
    by_row = draft.transpose(steps, "steps_by_row", (1, 0, 2))
    drawn = draft.add("MatMul", [by_head, by_row], "drawn")  # [batch, heads, features]
    return draft.add("Reshape", [drawn, draft.integers(1, -1, pooling.num_outputs)], "pooled")


def _add_valid(draft: Draft) -> None:
    """`is_valid [time, batch, 1]`: which steps are before their row's end; `valid` as numbers."""
    valid = add_valid(draft, "tokens_by_time", "valid_steps")
    valid = draft.add("Unsqueeze", [valid, draft.integers(2)], "is_valid")
    draft.add("Cast", [valid], "valid", {"to": TensorProto.FLOAT})


def _per_step(name: str, size: int) -> TensorSpec:
    return TensorSpec(name=name, dtype="float32", shape=("batch", "time", size))

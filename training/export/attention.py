"""Attention as ONNX nodes: the scores of each form, and what is drawn by them."""

import math
from dataclasses import dataclass

import numpy as np
from torch import nn

from training.export.draft import Draft
from training.nn.attention import (
    AdditiveAttention,
    Attention,
    DotAttention,
    MultiHeadAttention,
    MultiplicativeAttention,
)

ATTENTION = "attention"


@dataclass(frozen=True, slots=True)
class Memory:
    """Names of a memory `[batch, source_time, features]` and of its lengths `[batch]` int32."""

    values: str
    lengths: str


def add_attention(draft: Draft, attention: Attention, queries: str, memory: Memory) -> str:
    """From `queries [batch, time, queried]` to the context `[batch, time, features]`.

    The weights become the tensor `attention`.
    """
    valid = _add_valid(draft, memory)  # [batch, source_time]
    column = draft.add("Unsqueeze", [valid, draft.integers(2)], "memory_valid_steps")
    zero = draft.number("zero_float", 0)
    kept = draft.add("Where", [column, memory.values, zero], "memory_kept")
    match attention:
        case MultiHeadAttention():
            return _add_heads(draft, attention, queries, valid=valid, kept=kept)
        case AdditiveAttention():
            scores = _add_additive_scores(draft, attention, queries, kept)
        case MultiplicativeAttention():
            asked = _add_product(draft, queries, attention.queries, "attention_asked")
            scores = _add_dot_scores(draft, asked, kept, axes=(0, 2, 1))
        case DotAttention():
            scores = _add_dot_scores(draft, queries, kept, axes=(0, 2, 1))
        case _:
            raise TypeError(f"no rule for {type(attention).__name__}")
    row = draft.add("Unsqueeze", [valid, draft.integers(1)], "memory_valid_row")
    weights = _add_softmax(draft, scores, row, ATTENTION)
    return draft.add("MatMul", [weights, kept], "context")


def _add_heads(
    draft: Draft, attention: MultiHeadAttention, queries: str, *, valid: str, kept: str
) -> str:
    parts = [
        _add_parted(draft, attention, _add_product(draft, steps, layer, f"attention_{name}"))
        for name, steps, layer in (
            ("asked", queries, attention.queries),
            ("offered", kept, attention.keys),
            ("values", kept, attention.values),
        )
    ]
    asked, offered, values = parts  # each [batch, heads, time, features / heads]
    scores = _add_dot_scores(draft, asked, offered, axes=(0, 1, 3, 2))
    width = attention.num_outputs // attention.heads
    root = draft.constant("attention_root", np.array(math.sqrt(width), np.float32))
    scores = draft.add("Div", [scores, root], "attention_scaled")
    row = draft.add("Unsqueeze", [valid, draft.integers(1, 2)], "memory_valid_rows")
    weights = _add_softmax(draft, scores, row, "attention_of_heads")
    draft.add("ReduceMean", [weights], ATTENTION, {"axes": [1], "keepdims": 0})
    drawn = draft.add("MatMul", [weights, values], "drawn_by_heads")
    drawn = draft.transpose(drawn, "drawn", (0, 2, 1, 3))  # [batch, time, heads, head]
    joined = draft.add("Reshape", [drawn, draft.integers(0, 0, attention.num_outputs)], "joined")
    return _add_product(draft, joined, attention.joined, "context")


def _add_parted(draft: Draft, attention: MultiHeadAttention, steps: str) -> str:
    shape = draft.integers(0, 0, attention.heads, attention.num_outputs // attention.heads)
    parted = draft.add("Reshape", [steps, shape], f"{steps}_parted")
    return draft.transpose(parted, f"{steps}_by_head", (0, 2, 1, 3))


def _add_additive_scores(
    draft: Draft, attention: AdditiveAttention, queries: str, kept: str
) -> str:
    asked = _add_product(draft, queries, attention.queries, "attention_asked")
    offered = _add_product(draft, kept, attention.keys, "attention_offered")
    asked = draft.add("Unsqueeze", [asked, draft.integers(2)], "attention_asked_of_each")
    offered = draft.add("Unsqueeze", [offered, draft.integers(1)], "attention_offered_to_each")
    together = draft.add("Add", [asked, offered], "attention_sum")  # [batch, time, source_time, h]
    together = draft.add("Tanh", [together], "attention_tanh")
    energy = _add_product(draft, together, attention.energy, "attention_energy")
    return draft.add("Squeeze", [energy, draft.integers(3)], "attention_scores")


def _add_dot_scores(draft: Draft, asked: str, offered: str, *, axes: tuple[int, ...]) -> str:
    turned = draft.transpose(offered, "attention_offered_turned", axes)
    return draft.add("MatMul", [asked, turned], "attention_scores")


def _add_softmax(draft: Draft, scores: str, valid: str, output: str) -> str:
    nothing = draft.number("minus_infinity", -np.inf)
    masked = draft.add("Where", [valid, scores, nothing], f"{output}_scores_kept")
    return draft.add("Softmax", [masked], output, {"axis": -1})


def _add_valid(draft: Draft, memory: Memory) -> str:
    """`[batch, source_time]` bool: the steps before each row's end."""
    shape = draft.add("Shape", [memory.values], "memory_shape")
    steps = draft.add("Gather", [shape, draft.integer(1)], "memory_steps")
    places = draft.add("Range", [draft.integer(0), steps, draft.integer(1)], "memory_places")
    places = draft.add("Cast", [places], "memory_places_int", {"to": 6})
    ends = draft.add("Unsqueeze", [memory.lengths, draft.integers(1)], "memory_ends")
    return draft.add("Less", [places, ends], "memory_valid")


def _add_product(draft: Draft, tensor: str, layer: nn.Linear, output: str) -> str:
    assert layer.bias is None
    weights = draft.constant(f"{output}_weights", layer.weight.detach().cpu().numpy().T)
    return draft.add("MatMul", [tensor, weights], output)

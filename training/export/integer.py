"""Recurrent layers in integers: bytes of state times bytes of weights, float32 gates.

A state h lies in (-1, 1), so that one scale, 1/127, is right for every row of every batch and no
calibration is needed; weights have a scale for each column. Products of bytes are exact, which is
why a row's answer cannot depend on its company, and c and the gates stay float32.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training.export.draft import Draft
from training.export.finished import Cell, Chain, Finished, Head, Layer, Lookup, Weights
from training.export.gates import Part, Sums, add_gates, parts
from training.export.rewriting import LoweringError
from training.export.step import add_tokens

_STEPS_OF_ONE = 127
"""Bytes from 1 to 255 around the zero point 128: as many on both sides."""
_ZERO = 128
_MAX_TABLE_BYTES = 4 << 20
"""A larger table of gates leaves the caches and swells the file: its embedding is quantized."""


@dataclass(frozen=True, slots=True)
class Carried:
    """A layer's state between two steps."""

    quantized: str
    """h as bytes, `[..., hidden]`: what every product reads."""
    values: tuple[str, ...]
    """In float32: c of an LSTM, h of a GRU, nothing of a plain cell."""

    @property
    def typed(self) -> list[tuple[str, str]]:
        """(name, dtype) of every tensor."""
        return [(self.quantized, "uint8"), *((name, "float32") for name in self.values)]


@dataclass(frozen=True, slots=True)
class Stepped:
    """A layer after one step."""

    state: tuple[str, ...]
    """h, and c of an LSTM, in float32."""
    carried: Carried


def carry(draft: Draft, cell: Cell, state: tuple[str, ...], output: str) -> Carried:
    """What the next step reads of a `state`; its bytes are named `output`."""
    kept = {"LSTM": state[1:], "GRU": state, "RNN": ()}[cell.operator]
    return Carried(add_quantized(draft, state[0], output), kept)


def bounded_chains(graph: Finished) -> list[Chain]:
    """All recurrent layers; raises LoweringError if one cannot be told or has no bounds."""
    chains = list(graph.chains())
    layers = [layer for chain in chains for layer in chain]
    if not layers or len(layers) != graph.num_recurrent:
        raise LoweringError("a recurrent layer is not a plain one: it stays in float32")
    if any(cell.relu for layer in layers for cell in layer.cells):
        raise LoweringError("a state behind relu has no bounds: it stays in float32")
    return chains


def bounded_tensors(graph: Finished, chains: Sequence[Chain]) -> set[str]:
    """All that holds numbers of a layer's output, and so lies in (-1, 1)."""
    return graph.within_one({layer.steps for chain in chains for layer in chain})


def add_quantized(draft: Draft, tensor: str, output: str) -> str:
    """Numbers in (-1, 1) as bytes."""
    return draft.add("QuantizeLinear", [tensor, *_state_scale(draft)], output)


def add_head(draft: Draft, head: Head) -> None:
    """The product behind a bounded tensor, with the bias added in one node."""
    source = add_quantized(draft, head.source, f"{head.output}_bytes")
    add_product(draft, source, head.weights, output=head.output, bias=head.bias)


def add_product(
    draft: Draft, source: str, weights: Weights, *, output: str, bias: Weights | None = None
) -> str:
    """`source [..., features]`, bytes of numbers in (-1, 1), times `[features, columns]`."""
    scale, zero = _state_scale(draft)
    return _add_product(draft, source, weights, output=output, bias=bias, scale=scale, zero=zero)


def add_inputs(
    draft: Draft, graph: Finished, layer: Layer, *, cell: Cell, bounded: set[str], name: str
) -> list[str]:
    """What the layer's input sends to each part of the gates at every step, with the biases.

    Three ways: a table by token, bytes where the input has bounds, float32 where it has none.
    """
    lookup = graph.lookup(layer.source)
    products: list[str] = []
    for number, part in enumerate(parts(cell)):
        weights, bias = cell.input[:, part.columns], _input_bias(cell, part)
        output = f"{name}_input{number}"
        if lookup is not None:
            products.append(_add_lookup(draft, lookup, weights, bias=bias, output=output))
        elif layer.source in bounded:
            source = add_quantized(draft, layer.source, f"{output}_bytes")
            products.append(add_product(draft, source, weights, output=output, bias=bias))
        else:
            constant = draft.constant(f"{output}_weights", weights)
            product = draft.add("MatMul", [layer.source, constant], f"{output}_product")
            products.append(
                draft.add("Add", [product, draft.constant(f"{output}_bias", bias)], output)
            )
    return products


def add_step(
    draft: Draft,
    cells: Sequence[Cell],
    inputs: Sequence[str],
    *,
    before: Sequence[Carried],
    name: str,
) -> list[Stepped]:
    """One step of a chain: the same nodes inside a loop and in a graph of one step.

    `inputs` are the first layer's, see `add_inputs`; each other layer reads the one before it.
    """
    stepped: list[Stepped] = []
    for layer, (cell, carried) in enumerate(zip(cells, before, strict=True)):
        title = f"{name}_{layer}"
        if not stepped:
            sums = _first_sums(draft, cell, inputs, state=carried.quantized, name=title)
        else:
            below = stepped[-1].carried.quantized
            sums = _upper_sums(draft, cell, below, state=carried.quantized, name=title)
        state = add_gates(draft, cell, sums, before=carried.values, name=title)
        stepped.append(Stepped(state, carry(draft, cell, state, f"{title}_h_bytes")))
    return stepped


def _first_sums(draft: Draft, cell: Cell, inputs: Sequence[str], *, state: str, name: str) -> Sums:
    named: dict[str, str] = {}
    for number, (part, given) in enumerate(zip(parts(cell), inputs, strict=True)):
        title = f"{name}_state{number}"
        weights = cell.recurrent[:, part.columns]
        if part.summed:
            product = add_product(draft, state, weights, output=title)
            named["summed"] = draft.add("Add", [product, given], f"{name}_sum{number}")
        else:
            bias = cell.recurrent_bias[part.columns]
            named["new_input"] = given
            named["new_state"] = add_product(draft, state, weights, output=title, bias=bias)
    return Sums(**named)


def _upper_sums(draft: Draft, cell: Cell, below: str, *, state: str, name: str) -> Sums:
    """Where both are bytes of one scale, one product of them side by side is their sum."""
    both = draft.add("Concat", [below, state], f"{name}_both", {"axis": -1})
    named: dict[str, str] = {}
    for number, part in enumerate(parts(cell)):
        inputs, states = cell.input[:, part.columns], cell.recurrent[:, part.columns]
        title, bias = f"{name}_part{number}", _input_bias(cell, part)
        if part.summed:
            weights = np.concatenate([inputs, states])
            named["summed"] = add_product(draft, both, weights, output=title, bias=bias)
        else:
            title_of_state = f"{title}_state"
            named["new_input"] = add_product(draft, below, inputs, output=title, bias=bias)
            named["new_state"] = add_product(
                draft,
                state,
                states,
                output=title_of_state,
                bias=cell.recurrent_bias[part.columns],
            )
    return Sums(**named)


def _add_lookup(
    draft: Draft, lookup: Lookup, weights: Weights, *, bias: Weights, output: str
) -> str:
    tokens = add_tokens(draft, lookup, f"{output}_tokens")
    if len(lookup.table) * weights.shape[1] * 4 <= _MAX_TABLE_BYTES:
        table = lookup.table.astype(np.float64) @ weights + bias
        constant = draft.constant(f"{output}_table", table.astype(np.float32))
        return draft.add("Gather", [constant, tokens], output)
    scale = float(np.abs(lookup.table).max()) / _STEPS_OF_ONE
    rows = np.rint(lookup.table / scale) + _ZERO
    constant = draft.constant(f"{output}_embedding", rows.astype(np.uint8))
    source = draft.add("Gather", [constant, tokens], f"{output}_bytes")
    return _add_product(
        draft,
        source,
        weights,
        output=output,
        bias=bias,
        scale=draft.constant(f"{output}_scale", np.array(scale, np.float32)),
        zero=_state_scale(draft)[1],
    )


def _add_product(
    draft: Draft,
    source: str,
    weights: Weights,
    *,
    output: str,
    bias: Weights | None,
    scale: str,
    zero: str,
) -> str:
    integers, scales = quantize_columns(weights)
    columns = weights.shape[1]
    inputs = [
        source,
        draft.constant(f"{output}_integers", integers),
        scale,
        draft.constant(f"{output}_scales", scales),
        zero,
        draft.shared(f"zeros_{columns}", np.zeros(columns, np.int8)),
    ]
    if bias is not None:
        inputs.append(draft.constant(f"{output}_integer_bias", bias))
    return draft.add("MatMulIntegerToFloat", inputs, output)


def quantize_columns(weights: Weights) -> tuple[NDArray[np.int8], Weights]:
    """`[rows, columns]` as signed bytes and a scale for each column."""
    scales = np.abs(weights).max(axis=0) / _STEPS_OF_ONE
    scales[scales == 0] = 1.0
    return np.rint(weights / scales).astype(np.int8), scales.astype(np.float32)


def _input_bias(cell: Cell, part: Part) -> Weights:
    bias = cell.input_bias + cell.recurrent_bias if part.summed else cell.input_bias
    return bias[part.columns]


def _state_scale(draft: Draft) -> tuple[str, str]:
    return (
        draft.shared("state_scale", np.array(1 / _STEPS_OF_ONE, np.float32)),
        draft.shared("state_zero", np.array(_ZERO, np.uint8)),
    )

"""What a layer's input sends to its gates, computed for all steps at once or looked up."""

from dataclasses import dataclass

import numpy as np

from training.export.draft import Draft
from training.export.lowering.arithmetic import Bytes, add_bounded, add_product, add_rows
from training.export.lowering.finished import Cell, Finished, Layer, Lookup, Weights
from training.export.lowering.gates import Part, parts

_MAX_TABLE_BYTES = 4 << 20
"""A larger table of gates leaves the caches and swells the file: its embedding becomes bytes."""


@dataclass(frozen=True, slots=True)
class Source:
    """What a layer reads at every step."""

    tensor: str
    """`[time, batch, features]`, or tokens `[time, batch]`."""
    scale: str = ""
    """Of bytes; float32 has none."""
    rows: Weights | None = None
    """By token."""


@dataclass(frozen=True, slots=True)
class Input:
    """What a source sends to one part of the gates, with its bias."""

    tensor: str
    """`[time, batch, columns]`, or tokens `[time, batch]`."""
    table: str = ""
    """What each token sends, `[tokens, columns]`; looked up step by step, while it is hot."""


def add_source(draft: Draft, graph: Finished, layer: Layer, bounded: set[str]) -> Source:
    """Tokens where a small table can answer, bytes where the range is known, else float32."""
    lookup, name = graph.lookup(layer.source), f"{layer.name}_source"
    if lookup is not None:
        tokens = add_tokens(draft, lookup, f"{name}_tokens")
        if len(lookup.table) * layer.cells[0].recurrent.shape[1] * 4 <= _MAX_TABLE_BYTES:
            return Source(tokens, rows=lookup.table)
        return _of_bytes(add_rows(draft, lookup.table, tokens=tokens, output=name))
    if layer.source in bounded:
        return _of_bytes(add_bounded(draft, layer.source, name))
    return Source(layer.source)


def add_tokens(draft: Draft, lookup: Lookup, name: str) -> str:
    """`[time, batch]`"""
    return draft.transpose(lookup.tokens, name, (1, 0)) if lookup.by_batch else lookup.tokens


def add_inputs(draft: Draft, cell: Cell, source: Source, *, name: str) -> list[Input]:
    """For every part of the cell's gates."""
    return [
        _add_input(
            draft,
            source,
            cell.input[:, part.columns],
            bias=input_bias(cell, part),
            output=f"{name}_input{number}",
        )
        for number, part in enumerate(parts(cell))
    ]


def add_given(draft: Draft, given: Input, output: str) -> str:
    """`given` at one step or at many, in float32."""
    return draft.add("Gather", [given.table, given.tensor], output) if given.table else given.tensor


def input_bias(cell: Cell, part: Part) -> Weights:
    """What is added with the input's product: both biases, where input and state are summed."""
    bias = cell.input_bias + cell.recurrent_bias if part.summed else cell.input_bias
    return bias[part.columns]


def _add_input(
    draft: Draft, source: Source, weights: Weights, *, bias: Weights, output: str
) -> Input:
    if source.rows is not None:
        table = source.rows.astype(np.float64) @ weights + bias
        return Input(source.tensor, draft.constant(output, table.astype(np.float32)))
    if source.scale:
        numbers = Bytes(source.tensor, source.scale)
        return Input(add_product(draft, numbers, weights, output=output, bias=bias))
    constant = draft.constant(f"{output}_weights", weights)
    product = draft.add("MatMul", [source.tensor, constant], f"{output}_product")
    return Input(draft.add("Add", [product, draft.constant(f"{output}_bias", bias)], output))


def _of_bytes(numbers: Bytes) -> Source:
    return Source(numbers.tensor, numbers.scale)

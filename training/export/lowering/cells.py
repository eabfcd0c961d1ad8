"""A step of recurrent layers in integers: bytes of state times bytes of weights, float32 gates.

The same nodes run inside a loop over time and in a graph of one step.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from training.export.draft import Draft
from training.export.lowering.arithmetic import Bytes, add_bounded, add_product
from training.export.lowering.finished import Cell
from training.export.lowering.gates import Sums, add_gates, parts
from training.export.lowering.inputs import input_bias


@dataclass(frozen=True, slots=True)
class Carried:
    """A layer's state between two steps."""

    quantized: Bytes
    """h as bytes, `[..., hidden]`: what every product reads."""
    values: tuple[str, ...]
    """In float32: c of an LSTM, h of a GRU, nothing of a plain cell."""

    @property
    def typed(self) -> list[tuple[str, str]]:
        """(name, dtype) of every tensor."""
        return [(self.quantized.tensor, "uint8"), *((name, "float32") for name in self.values)]


@dataclass(frozen=True, slots=True)
class Stepped:
    """A layer after one step."""

    state: tuple[str, ...]
    """h, and c of an LSTM, in float32."""
    carried: Carried


def carry(draft: Draft, cell: Cell, state: tuple[str, ...], output: str) -> Carried:
    """What the next step reads of a `state`; its bytes are named `output`."""
    kept = {"LSTM": state[1:], "GRU": state, "RNN": ()}[cell.operator]
    return Carried(add_bounded(draft, state[0], output), kept)


def add_step(
    draft: Draft,
    cells: Sequence[Cell],
    inputs: Sequence[str],
    *,
    before: Sequence[Carried],
    name: str,
) -> list[Stepped]:
    """One step of a chain: the same nodes inside a loop and in a graph of one step.

    `inputs` are the first layer's, see `add_given`; every other layer reads the one before it.
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


def _first_sums(
    draft: Draft, cell: Cell, inputs: Sequence[str], *, state: Bytes, name: str
) -> Sums:
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


def _upper_sums(draft: Draft, cell: Cell, below: Bytes, *, state: Bytes, name: str) -> Sums:
    """Where both are bytes of one scale, one product of them side by side is their sum."""
    sides = [below.tensor, state.tensor]
    both = Bytes(draft.add("Concat", sides, f"{name}_both", {"axis": -1}), state.scale)
    named: dict[str, str] = {}
    for number, part in enumerate(parts(cell)):
        inputs, states = cell.input[:, part.columns], cell.recurrent[:, part.columns]
        title, bias = f"{name}_part{number}", input_bias(cell, part)
        if part.summed:
            weights = np.concatenate([inputs, states])
            named["summed"] = add_product(draft, both, weights, output=title, bias=bias)
        else:
            named["new_input"] = add_product(draft, below, inputs, output=title, bias=bias)
            bias = cell.recurrent_bias[part.columns]
            title = f"{title}_state"
            named["new_state"] = add_product(draft, state, states, output=title, bias=bias)
    return Sums(**named)

"""A step of recurrent layers in integers: bytes of state times bytes of weights, float32 gates.

The same nodes run inside a loop over time and in a graph of one step.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from training.export.draft import Draft
from training.export.lowering.arithmetic import Bytes, add_bounded, add_product
from training.export.lowering.finished import Cell
from training.export.lowering.gates import Part, Sums, add_gates, parts
from training.export.lowering.inputs import input_bias

Sides = tuple[Cell, ...]
"""A layer's cell, or its two, whose tensors are then `[2, ...]`: forward and backward."""


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
    layers: Sequence[Sides],
    inputs: Sequence[str],
    *,
    before: Sequence[Carried],
    name: str,
) -> list[Stepped]:
    """One step of a chain: the same nodes inside a loop and in a graph of one step.

    `inputs` are the first layer's, for every part of its gates those of its sides, see
    `add_given`; every other layer reads the one before it.
    """
    stepped: list[Stepped] = []
    for number, (sides, carried) in enumerate(zip(layers, before, strict=True)):
        cell, title = sides[0], f"{name}_{number}"
        if not stepped:
            sums = _first_sums(draft, sides, inputs, state=carried.quantized, name=title)
        else:
            below = stepped[-1].carried.quantized
            sums = _upper_sums(draft, cell, below, state=carried.quantized, name=title)
        state = add_gates(draft, cell, sums, before=carried.values, name=title)
        stepped.append(Stepped(state, carry(draft, cell, state, f"{title}_h_bytes")))
    return stepped


def _first_sums(
    draft: Draft, sides: Sides, inputs: Sequence[str], *, state: Bytes, name: str
) -> Sums:
    named: dict[str, str] = {}
    for number, part in enumerate(parts(sides[0])):
        title = f"{name}_state{number}"
        given = inputs[number * len(sides) : (number + 1) * len(sides)]
        products = _add_state_products(draft, sides, part, state=state, output=title)
        if part.summed:
            sums = [
                draft.add("Add", [product, one], f"{product}_sum")
                for product, one in zip(products, given, strict=True)
            ]
            named["summed"] = _add_together(draft, sums, f"{title}_sums")
        else:
            named["new_input"] = _add_together(draft, _kept(draft, given), f"{title}_given")
            named["new_state"] = _add_together(draft, products, f"{title}_products")
    return Sums(**named)


def _add_state_products(
    draft: Draft, sides: Sides, part: Part, *, state: Bytes, output: str
) -> list[str]:
    """Each direction has its own weights; its side of the state is `[1, batch, hidden]`."""
    tensors = [f"{output}_side{k}" for k in range(len(sides))]
    if len(sides) == 1:
        tensors = [state.tensor]
    else:
        draft.split(state.tensor, tensors, sizes=[1] * len(sides), axis=0)
    return [
        add_product(
            draft,
            Bytes(tensor, state.scale),
            cell.recurrent[:, part.columns],
            output=f"{output}_of{k}",
            bias=None if part.summed else cell.recurrent_bias[part.columns],
        )
        for k, (cell, tensor) in enumerate(zip(sides, tensors, strict=True))
    ]


def _kept(draft: Draft, given: Sequence[str]) -> list[str]:
    """Of two sides, each as `[1, batch, columns]`."""
    if len(given) == 1:
        return [*given]
    return [draft.add("Unsqueeze", [one, draft.integers(0)], f"{one}_kept") for one in given]


def _add_together(draft: Draft, sides: Sequence[str], output: str) -> str:
    """From here on both directions share their nodes."""
    return sides[0] if len(sides) == 1 else draft.add("Concat", sides, output, {"axis": 0})


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

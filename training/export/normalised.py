"""Cells with norms inside, as nodes: what the input sends, for all steps, and the step itself.

Ba, Kiros and Hinton 2016 (arXiv 1607.06450). `training/nn/cells.py` has the same in torch.
"""

from collections.abc import Sequence

import numpy as np
from torch import Tensor

from training.export.draft import Draft
from training.export.side import Side
from training.export.weights import array
from training.nn.cells import EPSILON, NORMALISED


def add_normalised_input(draft: Draft, side: Side, product: str) -> list[str]:
    """LN(W x) * gain + b of each group of gates, from `product [time, batch, gates * hidden]`."""
    norms, weights = side.norms, side.weights
    return _add_groups(draft, side, product, gain=norms.input, shift=weights.input_bias)


def add_ln_lstm(draft: Draft, side: Side, sums: tuple[str, str], *, memory: str) -> tuple[str, str]:
    """h and c after a step; `sums [batch, 4 * hidden]` of the input, normalised, and of R h."""
    name, norms, weights = side.name, side.norms, side.weights
    (from_state,) = _add_groups(
        draft, side, sums[1], gain=norms.recurrent, shift=weights.recurrent_bias
    )
    summed = draft.add("Add", [sums[0], from_state], f"{name}_both")
    gates = [f"{name}_{gate}_sum" for gate in "ifgo"]
    draft.split(summed, gates, sizes=[side.hidden] * 4, axis=-1)
    i, f, o = (draft.add("Sigmoid", [f"{name}_{x}_sum"], f"{name}_{x}") for x in "ifo")
    g = draft.add("Tanh", [f"{name}_g_sum"], f"{name}_g")
    kept = draft.add("Mul", [f, memory], f"{name}_kept")
    let_in = draft.add("Mul", [i, g], f"{name}_let_in")
    c = draft.add("Add", [kept, let_in], f"{name}_c_new")
    assert norms.memory is not None
    normalised = _add_norm(draft, c, f"{name}_memory", gain=norms.memory, shift=norms.memory_bias)
    told = draft.add("Tanh", [normalised], f"{name}_memory_told")
    return draft.add("Mul", [o, told], f"{name}_h_new"), c


def add_ln_gru(
    draft: Draft, side: Side, given: Sequence[str], *, recurrent: str, before: str
) -> str:
    """h after a step, from what the input sends to r and z, and to n, and from R h."""
    name, norms, weights = side.name, side.norms, side.weights
    rz_h, n_h = _add_groups(
        draft, side, recurrent, gain=norms.recurrent, shift=weights.recurrent_bias
    )
    gates = draft.add("Sigmoid", [draft.add("Add", [given[0], rz_h], f"{name}_rz")], f"{name}_open")
    r, z = f"{name}_r", f"{name}_z"
    draft.split(gates, [r, z], sizes=[side.hidden] * 2, axis=-1)
    reset = draft.add("Mul", [r, n_h], f"{name}_reset")
    summed = draft.add("Add", [given[1], reset], f"{name}_n_sum")
    n = draft.add("Tanh", [summed], f"{name}_n")
    away = draft.add("Sub", [before, n], f"{name}_away")
    left = draft.add("Mul", [z, away], f"{name}_left")
    return draft.add("Add", [n, left], f"{name}_new")


def _add_groups(
    draft: Draft, side: Side, product: str, *, gain: Tensor, shift: Tensor | None
) -> list[str]:
    """Every group of gates, normalised by itself."""
    sizes = [count * side.hidden for count in NORMALISED[side.cell]]
    if len(sizes) == 1:
        return [_add_norm(draft, product, product, gain=gain, shift=shift)]
    parts = [f"{product}_part{number}" for number in range(len(sizes))]
    draft.split(product, parts, sizes=sizes, axis=-1)
    shifts = [None] * len(sizes) if shift is None else shift.split(sizes)
    return [
        _add_norm(draft, part, part, gain=own, shift=moved)
        for part, own, moved in zip(parts, gain.split(sizes), shifts, strict=True)
    ]


def _add_norm(draft: Draft, tensor: str, name: str, *, gain: Tensor, shift: Tensor | None) -> str:
    shifts = np.zeros(len(gain), np.float32) if shift is None else array(shift)
    inputs = [
        tensor,
        draft.constant(f"{name}_gain", array(gain)),
        draft.constant(f"{name}_shift", shifts),
    ]
    attributes = {"axis": -1, "epsilon": EPSILON}
    return draft.add("LayerNormalization", inputs, f"{name}_normalised", attributes)

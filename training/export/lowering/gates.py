"""From the sums that go into a cell's gates to its next state, as nodes, in ONNX Runtime's order.

The fused operators add and multiply in this order, so that a step written out in float32 gives
their numbers to the bit. Hochreiter & Schmidhuber 1997 for the LSTM (with the forget gate of Gers
et al. 2000), Cho et al. 2014 for the GRU in the form that cuDNN computes (the reset gate after the
product), Elman 1990 for the plain cell.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from training.export.draft import Draft
from training.export.lowering.finished import Cell


@dataclass(frozen=True, slots=True)
class Part:
    """Columns of a cell's weights whose products are used alike."""

    columns: slice
    summed: bool
    """Whether input and state are added before anything else; the new gate of a GRU multiplies
    the state's product by the reset gate first."""


@dataclass(frozen=True, slots=True)
class Sums:
    """What goes into the gates: for every part, in order."""

    summed: str
    """`[..., columns]`: from input and state, with both biases."""
    new_input: str = ""
    """A GRU's new gate, from the input."""
    new_state: str = ""
    """A GRU's new gate, from the state, with its bias."""
    new_bias: str = ""
    """Of the input, where `new_input` is without it."""


def parts(cell: Cell) -> tuple[Part, ...]:
    if cell.operator == "GRU":
        gates = 2 * cell.hidden
        return Part(slice(0, gates), summed=True), Part(slice(gates, None), summed=False)
    return (Part(slice(None), summed=True),)


def add_gates(
    draft: Draft, cell: Cell, sums: Sums, *, before: Sequence[str], name: str
) -> tuple[str, ...]:
    """The state after a step, from the one `before`: h, and c of an LSTM; `[..., hidden]`.

    What is `before` of an LSTM is its c alone: its h went into the sums.
    """
    match cell.operator:
        case "LSTM":
            return _lstm(draft, cell.hidden, sums, cell_state=before[-1], name=name)
        case "GRU":
            return (_gru(draft, cell.hidden, sums, hidden_state=before[0], name=name),)
        case "RNN":
            return (draft.add("Relu" if cell.relu else "Tanh", [sums.summed], f"{name}_h"),)


def _lstm(draft: Draft, hidden: int, sums: Sums, *, cell_state: str, name: str) -> tuple[str, str]:
    gates = [f"{name}_{gate}_sum" for gate in "iofg"]
    draft.split(sums.summed, gates, sizes=[hidden] * 4, axis=-1)
    i, o, f = (draft.add("Sigmoid", [f"{name}_{gate}_sum"], f"{name}_{gate}") for gate in "iof")
    g = draft.add("Tanh", [gates[3]], f"{name}_g")
    written = draft.add("Mul", [i, g], f"{name}_written")
    kept = draft.add("Mul", [f, cell_state], f"{name}_kept")
    c = draft.add("Add", [written, kept], f"{name}_c")
    return draft.add("Mul", [o, draft.add("Tanh", [c], f"{name}_told")], f"{name}_h"), c


def _gru(draft: Draft, hidden: int, sums: Sums, *, hidden_state: str, name: str) -> str:
    gates = draft.add("Sigmoid", [sums.summed], f"{name}_gates")
    z, r = f"{name}_z", f"{name}_r"
    draft.split(gates, [z, r], sizes=[hidden] * 2, axis=-1)
    kept = draft.add("Mul", [r, sums.new_state], f"{name}_reset")
    if sums.new_bias:
        kept = draft.add("Add", [sums.new_bias, kept], f"{name}_reset_biased")
    n = draft.add("Tanh", [draft.add("Add", [sums.new_input, kept], f"{name}_n_sum")], f"{name}_n")
    one = draft.number("one_float", 1)
    new = draft.add("Mul", [draft.add("Sub", [one, z], f"{name}_not_z"), n], f"{name}_new")
    old = draft.add("Mul", [z, hidden_state], f"{name}_old")
    return draft.add("Add", [new, old], f"{name}_h")

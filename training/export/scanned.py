"""A cell that has no fused operator is a loop over time: Scan, with all it can outside of it.

What a step needs of the input alone is computed for all steps at once. The loop holds what needs
the state, in an order of operations that no neighbour and no chunk changes, and passes a row that
has ended on as it is. Single steps are the loop's body: see `lowering/step.py`.
"""

from dataclasses import dataclass

import numpy as np

from training.config import Cell
from training.export.draft import Draft, value
from training.export.lengths import LENGTHS, add_turned
from training.export.weights import array, summed_bias
from training.nn.cells import CellWeights

VALID_NOW = "valid_now"
"""Says in every loop's body which rows this step is of, `[batch, 1]`."""


@dataclass(frozen=True, slots=True)
class Side:
    """One direction of one layer."""

    cell: Cell
    hidden: int
    weights: CellWeights
    backward: bool
    name: str
    """Begins the names of all its nodes."""
    final: str
    """The name of its final state."""


def add_scanned(draft: Draft, side: Side, steps: str, *, initial: str, valid: str) -> str:
    """h at every step, `[time, batch, hidden]`; past a row's end its last one.

    From `steps [time, batch, features]`, `initial [1, batch, hidden]` or an empty name for zero,
    and `valid [time, batch, 1]`. The state after the last step is `side.final [1, batch, hidden]`.
    """
    name = side.name
    read = add_turned(draft, steps, f"{name}_turned") if side.backward else steps
    given = _add_given(draft, side, read)
    start = _add_start(draft, side, initial)
    body = Draft()  # whole in itself: nothing but its inputs and constants of its own
    now = [f"{tensor}_now" for tensor in given]
    new = _add_new(body, side, now, before=f"{name}_before")
    after = body.add("Where", [VALID_NOW, new, f"{name}_before"], f"{name}_after")
    body.add("Identity", [after], f"{name}_told")
    state = ("batch", side.hidden)
    loop = body.body(
        [
            value(f"{name}_before", "float32", state),
            *(value(tensor, "float32", state) for tensor in now),
            value(VALID_NOW, "bool", ("batch", 1)),
        ],
        [value(after, "float32", state), value(f"{name}_told", "float32", state)],
    )
    outputs = [f"{name}_end", f"{name}_scanned" if side.backward else f"{name}_steps"]
    attributes = {"body": loop, "num_scan_inputs": len(given) + 1}
    draft.add_many("Scan", [start, *given, valid], outputs, attributes)
    draft.add("Unsqueeze", [outputs[0], draft.integers(0)], side.final)
    return add_turned(draft, outputs[1], f"{name}_steps") if side.backward else outputs[1]


def _add_start(draft: Draft, side: Side, initial: str) -> str:
    """`[batch, hidden]`"""
    name = f"{side.name}_start"
    if initial:
        return draft.add("Squeeze", [initial, draft.integers(0)], name)
    rows = draft.add("Shape", [LENGTHS], f"{name}_rows")
    sizes = [rows, draft.integers(side.hidden)]
    size = draft.add("Concat", sizes, f"{name}_size", {"axis": 0})
    return draft.add("ConstantOfShape", [size], name)


def _add_given(draft: Draft, side: Side, steps: str) -> list[str]:
    """What the loop reads at every step, each `[time, batch, hidden]`."""
    name, weights = side.name, side.weights
    matrix = draft.constant(f"{name}_input_weights", array(weights.input).T)
    product = draft.add("MatMul", [steps, matrix], f"{name}_product")
    bias = draft.constant(f"{name}_bias", summed_bias(weights))
    summed = draft.add("Add", [product, bias], f"{name}_summed")
    match side.cell:
        case "min_gru":
            return _add_min_gru(draft, side, summed)
        case "min_lstm":
            return _add_min_lstm(draft, side, summed)
        case _:
            return [summed]


def _add_new(body: Draft, side: Side, now: list[str], *, before: str) -> str:
    """h after the step, `[batch, hidden]`."""
    name = side.name
    if side.cell in ("min_gru", "min_lstm"):
        kept, added = now
        left = body.add("Mul", [kept, before], f"{name}_left")
        return body.add("Add", [left, added], f"{name}_new")
    assert side.weights.recurrent is not None
    matrix = body.constant(f"{name}_recurrent_weights", array(side.weights.recurrent).T)
    recurrent = body.add("MatMul", [before, matrix], f"{name}_recurrent")
    both = body.add("Add", [now[0], recurrent], f"{name}_both")
    return body.add("Relu" if side.cell == "rnn_relu" else "Tanh", [both], f"{name}_new")


def _add_min_gru(draft: Draft, side: Side, summed: str) -> list[str]:
    """kept = 1 - z, added = z * g(n)."""
    name = side.name
    draft.split(summed, [f"{name}_z_sum", f"{name}_n_sum"], sizes=[side.hidden] * 2, axis=-1)
    z = draft.add("Sigmoid", [f"{name}_z_sum"], f"{name}_z")
    kept = draft.add("Sub", [_one(draft), z], f"{name}_kept")
    candidate = _add_positive(draft, f"{name}_n_sum", f"{name}_n")
    return [kept, draft.add("Mul", [z, candidate], f"{name}_added")]


def _add_min_lstm(draft: Draft, side: Side, summed: str) -> list[str]:
    """kept = f / (f + i), added = i / (f + i) * g(n).

    Over both fractions, 1 / f = 1 + exp(-f's sum) and 1 / i likewise: kept = (1 / i) / (1 / f +
    1 / i). Times exp(m), m the least of both sums and 0, no exponent is above 0, and one of the two
    is 1 at least. All is exp and fractions: they round alike wherever in a tensor a number lies,
    which ONNX Runtime's logarithm need not.
    """
    name = side.name
    f, i, n = (f"{name}_{gate}_sum" for gate in "fin")
    draft.split(summed, [f, i, n], sizes=[side.hidden] * 3, axis=-1)
    zero = draft.shared("zero_float", np.array(0, np.float32))
    least = draft.add("Min", [f, i, zero], f"{name}_least")
    one = draft.add("Exp", [least], f"{name}_least_exp")
    over_f, over_i = (_add_over_gate(draft, gate, least=least, one=one) for gate in (f, i))
    both = draft.add("Add", [over_f, over_i], f"{name}_over_both")
    kept = draft.add("Div", [over_i, both], f"{name}_kept")
    let_in = draft.add("Div", [over_f, both], f"{name}_let_in")
    candidate = _add_positive(draft, n, f"{name}_n")
    return [kept, draft.add("Mul", [let_in, candidate], f"{name}_added")]


def _add_over_gate(draft: Draft, summed: str, *, least: str, one: str) -> str:
    """exp(least) * (1 + exp(-summed)), `one` being exp(least)."""
    exponent = draft.add("Sub", [least, summed], f"{summed}_exponent")
    grown = draft.add("Exp", [exponent], f"{summed}_exp")
    return draft.add("Add", [one, grown], f"{summed}_over")


def _add_positive(draft: Draft, tensor: str, output: str) -> str:
    """g(a) = max(a, 0) + sigmoid(min(a, 0))."""
    rectified = draft.add("Relu", [tensor], f"{output}_rectified")
    rest = draft.add("Sub", [tensor, rectified], f"{output}_rest")
    return draft.add("Add", [rectified, draft.add("Sigmoid", [rest], f"{output}_low")], output)


def _one(draft: Draft) -> str:
    return draft.shared("one_float", np.array(1, np.float32))

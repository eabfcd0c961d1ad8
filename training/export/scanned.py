"""A cell that has no fused operator is a loop over time: Scan, with all it can outside of it.

What a step needs of the input alone is computed for all steps at once. The loop holds what needs
the state, in an order of operations that no neighbour and no chunk changes, and passes a row that
has ended on as it is. Single steps are the loop's body: see `lowering/step.py`.
"""

from collections.abc import Sequence

import onnx

from training.export.draft import Draft, value
from training.export.lengths import LENGTHS, add_turned
from training.export.normalised import add_ln_gru, add_ln_lstm, add_normalised_input
from training.export.side import Side
from training.export.weights import array, summed_bias
from training.nn.cells import NORMALISED

VALID_NOW = "valid_now"
"""Says in every loop's body which rows this step is of, `[batch, 1]`."""

Given = tuple[str, int]
"""A tensor `[time, batch, width]` that a loop reads step by step, and its width."""


def add_scanned(draft: Draft, side: Side, steps: str, *, initial: Sequence[str], valid: str) -> str:
    """h at every step, `[time, batch, hidden]`; past a row's end its last one.

    From `steps [time, batch, features]`, `initial`, for every part of the state a tensor
    `[1, batch, hidden]` or an empty name for zero, and `valid [time, batch, 1]`. The state after
    the last step is `side.finals`, each `[1, batch, hidden]`.
    """
    name = side.name
    read = add_turned(draft, steps, f"{name}_turned") if side.backward else steps
    given = _add_given(draft, side, read)
    parts = [f"{name}_{letter}" for letter in "hc"[: len(side.finals)]]
    starts = [_add_start(draft, side, *pair) for pair in zip(parts, initial, strict=True)]
    outputs = [*(f"{part}_end" for part in parts)]
    outputs.append(f"{name}_scanned" if side.backward else f"{name}_steps")
    loop = _body(side, parts, given)
    attributes = {"body": loop, "num_scan_inputs": len(given) + 1}
    draft.add_many("Scan", [*starts, *(tensor for tensor, _ in given), valid], outputs, attributes)
    for end, final in zip(outputs, side.finals, strict=False):
        draft.add("Unsqueeze", [end, draft.integers(0)], final)
    return add_turned(draft, outputs[-1], f"{name}_steps") if side.backward else outputs[-1]


def _body(side: Side, parts: Sequence[str], given: Sequence[Given]) -> onnx.GraphProto:
    """One step: the parts of the state and what is given now, to the parts after and h told."""
    body = Draft()  # whole in itself: nothing but its inputs and constants of its own
    before, now = [f"{part}_before" for part in parts], [f"{tensor}_now" for tensor, _ in given]
    new = _add_new(body, side, now, before=before)
    after = [
        body.add("Where", [VALID_NOW, one, old], f"{part}_after")
        for part, one, old in zip(parts, new, before, strict=True)
    ]
    told = body.add("Identity", [after[0]], f"{side.name}_told")
    state = ("batch", side.hidden)
    return body.body(
        [
            *(value(tensor, "float32", state) for tensor in before),
            *(value(f"{t}_now", "float32", ("batch", width)) for t, width in given),
            value(VALID_NOW, "bool", ("batch", 1)),
        ],
        [value(tensor, "float32", state) for tensor in (*after, told)],
    )


def _add_start(draft: Draft, side: Side, part: str, initial: str) -> str:
    """`[batch, hidden]`"""
    name = f"{part}_start"
    if initial:
        return draft.add("Squeeze", [initial, draft.integers(0)], name)
    rows = draft.add("Shape", [LENGTHS], f"{name}_rows")
    sizes = [rows, draft.integers(side.hidden)]
    size = draft.add("Concat", sizes, f"{name}_size", {"axis": 0})
    return draft.add("ConstantOfShape", [size], name)


def _add_given(draft: Draft, side: Side, steps: str) -> list[Given]:
    """What the loop reads at every step."""
    name, weights, hidden = side.name, side.weights, side.hidden
    matrix = draft.constant(f"{name}_input_weights", array(weights.input).T)
    product = draft.add("MatMul", [steps, matrix], f"{name}_product")
    if side.cell in NORMALISED:
        tensors = add_normalised_input(draft, side, product)
        return [(t, n * hidden) for t, n in zip(tensors, NORMALISED[side.cell], strict=True)]
    bias = draft.constant(f"{name}_bias", summed_bias(weights))
    summed = draft.add("Add", [product, bias], f"{name}_summed")
    match side.cell:
        case "min_gru":
            return [(tensor, hidden) for tensor in _add_min_gru(draft, side, summed)]
        case "min_lstm":
            return [(tensor, hidden) for tensor in _add_min_lstm(draft, side, summed)]
        case _:
            return [(summed, hidden)]


def _add_new(
    body: Draft, side: Side, now: Sequence[str], *, before: Sequence[str]
) -> tuple[str, ...]:
    """The state after the step, each part `[batch, hidden]`."""
    name, h = side.name, before[0]
    if side.cell in ("min_gru", "min_lstm"):
        kept, added = now
        left = body.add("Mul", [kept, h], f"{name}_left")
        return (body.add("Add", [left, added], f"{name}_new"),)
    assert side.weights.recurrent is not None
    matrix = body.constant(f"{name}_recurrent_weights", array(side.weights.recurrent).T)
    recurrent = body.add("MatMul", [h, matrix], f"{name}_recurrent")
    if side.cell == "ln_lstm":
        return add_ln_lstm(body, side, (now[0], recurrent), memory=before[1])
    if side.cell == "ln_gru":
        return (add_ln_gru(body, side, now, recurrent=recurrent, before=h),)
    both = body.add("Add", [now[0], recurrent], f"{name}_both")
    return (body.add("Relu" if side.cell == "rnn_relu" else "Tanh", [both], f"{name}_new"),)


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
    zero = draft.number("zero_float", 0)
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
    return draft.number("one_float", 1)

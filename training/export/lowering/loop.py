"""A chain of layers in integers as one loop over time, of any number of steps."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

import onnx

from training.export.draft import Draft, Shape, value
from training.export.lengths import add_long_lengths
from training.export.lowering.cells import Carried, Sides, Stepped, add_step, carry
from training.export.lowering.finished import Chain, Finished, Layer
from training.export.lowering.gates import parts
from training.export.lowering.inputs import Input, add_given


def add_loop(
    draft: Draft, graph: Finished, chain: Chain, *, inputs: Sequence[Input], name: str
) -> str:
    """Returns the last layer's h at every step, noise past a row's length: `[time, batch, hidden]`,
    or `[time, 2, batch, hidden]` of a layer that looks both ways, the second turned round.

    `inputs` are the first layer's, see `add_inputs`. The finals that somebody reads get their
    names: the state after each row's last valid step.
    """
    initial = [
        _add_initial(draft, graph, layer, name=f"{name}_{k}") for k, layer in enumerate(chain)
    ]
    body = draft.inner()
    now = [replace(given, tensor=f"{given.tensor}_now{k}") for k, given in enumerate(inputs)]
    given = [add_given(body, one, f"{one.tensor}_given") for one in now]
    before = [_before(state, f"{name}_{k}") for k, state in enumerate(initial)]
    stepped = add_step(body, [layer.cells for layer in chain], given, before=before, name=name)

    finals = _finals(chain, stepped)
    told = list(dict.fromkeys([stepped[-1].state[0], *finals.values()]))
    steps = {tensor: f"{tensor}_steps" for tensor in told}
    after = _typed([layer.carried for layer in stepped])
    loop = _body(body, chain[0].cells, now=now, before=_typed(before), after=after, told=told)
    draft.add_many(
        "Scan",
        [*(tensor for tensor, _ in _typed(initial)), *(given.tensor for given in inputs)],
        [*(f"{tensor}_end" for tensor, _ in after), *steps.values()],
        {"body": loop, "num_scan_inputs": len(inputs)},
    )
    for final, tensor in finals.items():
        _add_final(draft, graph, steps[tensor], final)
    return steps[told[0]]


def _body(
    body: Draft,
    sides: Sides,
    *,
    now: Sequence[Input],
    before: Sequence[tuple[str, str]],
    after: Sequence[tuple[str, str]],
    told: Sequence[str],
) -> onnx.GraphProto:
    """From a state and the inputs of one step to the next state and what is told of it.

    A tensor that is carried on cannot be told under the same name.
    """
    carried = {tensor for tensor, _ in after}
    names = [
        body.add("Identity", [tensor], f"{tensor}_told") if tensor in carried else tensor
        for tensor in told
    ]
    state = _shape(sides)
    inputs = [value(tensor, dtype, state) for tensor, dtype in before]
    inputs += _now(now, sides)
    outputs = [value(tensor, dtype, state) for tensor, dtype in after]
    outputs += [value(tensor, "float32", state) for tensor in names]
    return body.body(inputs, outputs)


def _now(given: Sequence[Input], sides: Sides) -> Iterator[onnx.ValueInfoProto]:
    """The inputs of one step, as they are told: part by part, side by side."""
    columns = [part.columns for part in parts(sides[0]) for _ in sides]
    for one, part in zip(given, columns, strict=True):
        width = sides[0].recurrent[:, part].shape[1]
        if one.table:
            yield value(one.tensor, "int64", ("batch",))
        else:
            yield value(one.tensor, "float32", ("batch", width))


def _shape(sides: Sides) -> Shape:
    hidden = sides[0].hidden
    return ("batch", hidden) if len(sides) == 1 else (2, "batch", hidden)


def _add_initial(draft: Draft, graph: Finished, layer: Layer, *, name: str) -> Carried:
    """The state before the first step: given, or zero."""
    cell = layer.cells[0]
    if not layer.initial:
        size = draft.add("Shape", [graph.spec.lengths], f"{name}_rows")
        sizes = [size, draft.integers(cell.hidden)]
        if len(layer.cells) == 2:
            sizes.insert(0, draft.integers(2))
        size = draft.add("Concat", sizes, f"{name}_size", {"axis": 0})
        zero = draft.add("ConstantOfShape", [size], f"{name}_zero")
        return carry(draft, cell, (zero, zero)[: 2 if cell.operator == "LSTM" else 1], f"{name}_h0")
    flat = tuple(
        draft.add("Squeeze", [tensor, draft.integers(0)], f"{name}_start{k}")
        for k, tensor in enumerate(layer.initial)
    )
    return carry(draft, cell, flat, f"{name}_h0")


def _before(initial: Carried, name: str) -> Carried:
    """The same tensors by the names that they have inside."""
    values = tuple(f"{name}_value{k}_before" for k in range(len(initial.values)))
    return Carried(replace(initial.quantized, tensor=f"{name}_h_bytes_before"), values)


def _finals(chain: Chain, stepped: Sequence[Stepped]) -> dict[str, str]:
    """Every final that somebody reads, and the tensor of the loop that it is the last of."""
    return {
        final: tensor
        for layer, step in zip(chain, stepped, strict=True)
        for final, tensor in zip(layer.finals, step.state, strict=False)
        if final
    }


def _add_final(draft: Draft, graph: Finished, steps: str, final: str) -> None:
    """`steps [time, batch, hidden]` at each row's last valid step, `[1, batch, hidden]`."""
    lengths = add_long_lengths(draft, f"{final}_lengths", graph.spec.lengths)
    last = draft.add("Sub", [lengths, draft.integers(1)], f"{final}_last")
    size = draft.add("Shape", [lengths], f"{final}_size")
    batch = draft.add("Squeeze", [size, draft.integers(0)], f"{final}_batch")
    row = draft.add("Range", [draft.integer(0), batch, draft.integer(1)], f"{final}_row")
    columns = [
        draft.add("Unsqueeze", [tensor, draft.integers(1)], f"{tensor}_column")
        for tensor in (last, row)
    ]
    places = draft.add("Concat", columns, f"{final}_places", {"axis": 1})  # [batch, 2]
    rows = draft.add("GatherND", [steps, places], f"{final}_rows")
    draft.add("Unsqueeze", [rows, draft.integers(0)], final)


def _typed(states: Sequence[Carried]) -> list[tuple[str, str]]:
    return [tensor for state in states for tensor in state.typed]

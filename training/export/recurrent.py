"""Recurrent layers as ONNX, time-major inside: an operator for each, or a loop a direction."""

from collections.abc import Sequence
from dataclasses import dataclass

from service.artifact.graphs import GraphSpec, StateSpec, TensorSpec
from training.export.draft import Draft
from training.export.lengths import LENGTHS, add_valid
from training.export.scanned import add_scanned
from training.export.side import Side
from training.export.weights import OPERATORS, array, layer_weights, operator_attributes
from training.nn.recurrent import RecurrentStack

__all__ = ["LENGTHS", "MODEL_FILE", "add_layers", "add_stack", "stack_graph", "state_specs"]

MODEL_FILE = "model.onnx"


@dataclass(frozen=True, slots=True)
class _Layer:
    """Where a layer stands."""

    stack: RecurrentStack
    number: int

    @property
    def name(self) -> str:
        return f"layer{self.number}"

    @property
    def finals(self) -> tuple[str, ...]:
        """The names of h, and c of an LSTM, after the last step; of one layer, the graph's own."""
        names = (f"{letter}_out" for letter in _letters(self.stack))
        return tuple(n if self.stack.num_layers == 1 else f"{self.name}_{n}" for n in names)


@dataclass(frozen=True, slots=True)
class _Added:
    sides: tuple[str, ...]
    """h of every direction, `[time, batch, hidden]`; or of both, joined already."""
    finals: tuple[str, ...]
    """h, and c of an LSTM, `[directions, batch, hidden]`."""


def state_specs(stack: RecurrentStack) -> tuple[StateSpec, ...]:
    """`h_in -> h_out`, and `c_in -> c_out` of an LSTM; `[layers * directions, batch, hidden]`."""
    shape = (stack.num_layers * stack.directions, "batch", stack.hidden)
    return tuple(
        StateSpec(input=f"{letter}_in", output=f"{letter}_out", shape=shape, batch_axis=1)
        for letter in _letters(stack)
    )


def add_stack(draft: Draft, stack: RecurrentStack, steps: str) -> str:
    """Append all layers to `draft`: `[time, batch, features]` to `[time, batch, outputs]`.

    Initial and final states are the graph's inputs and outputs that `state_specs` names.
    """
    letters = _letters(stack)
    split = [_split(draft, f"{letter}_in", stack) for letter in letters]
    initial = list(zip(*split, strict=True))
    steps, finals = add_layers(draft, stack, steps, initial=initial)
    if stack.num_layers > 1:
        for letter, of_layers in zip(letters, zip(*finals, strict=True), strict=True):
            draft.add("Concat", of_layers, f"{letter}_out", {"axis": 0})
    return steps


def add_layers(
    draft: Draft,
    stack: RecurrentStack,
    steps: str,
    *,
    initial: Sequence[tuple[str, ...]] | None = None,
) -> tuple[str, list[tuple[str, ...]]]:
    """The outputs `[time, batch, outputs]`, and every layer's final states.

    `initial` are every layer's, h and c of an LSTM; None starts from zero.
    """
    looped = stack.cell not in OPERATORS
    masked = initial is None and (looped or len(stack.norms) > 0)
    valid = _add_valid_steps(draft, steps) if looped or masked else ""
    finals: list[tuple[str, ...]] = []
    for number in range(stack.num_layers):
        layer = _Layer(stack, number)
        states = initial[number] if initial is not None else ()
        if looped:
            added = _add_loops(draft, layer, steps, states=states, valid=valid)
        else:
            added = _add_fused(draft, layer, steps, states)
        steps = _add_passed_on(draft, layer, steps, added.sides)
        finals.append(added.finals)
    if masked:  # whoever reads whole sequences may sum over time
        zero = draft.number("zero_float", 0)
        steps = draft.add("Where", [valid, steps, zero], "layers_to_the_end")
    return steps, finals


def stack_graph(stack: RecurrentStack) -> tuple[Draft, GraphSpec]:
    """The layers alone: `values [batch, time, features]` to their outputs."""
    draft = Draft()
    spec = GraphSpec(
        file=MODEL_FILE,
        inputs=(
            TensorSpec(name="values", dtype="float32", shape=("batch", "time", stack.num_features)),
        ),
        lengths=LENGTHS,
        outputs=(
            TensorSpec(name="outputs", dtype="float32", shape=("batch", "time", stack.num_outputs)),
        ),
        state=state_specs(stack),
    )
    steps = draft.transpose("values", "values_by_time", (1, 0, 2))  # [time, batch, features]
    draft.transpose(add_stack(draft, stack, steps), "outputs", (1, 0, 2))
    return draft, spec


def _add_fused(draft: Draft, layer: _Layer, steps: str, states: Sequence[str]) -> _Added:
    stack, name = layer.stack, layer.name
    weights = layer_weights(stack, layer.number)
    bias = "" if weights.bias is None else draft.constant(f"{name}_bias", weights.bias)
    inputs = [
        steps,
        draft.constant(f"{name}_input_weights", weights.input),
        draft.constant(f"{name}_recurrent_weights", weights.recurrent),
        bias,
        LENGTHS,
        *states,
    ]
    finals = layer.finals if states else ()
    outputs = [f"{name}_directions", *finals]
    draft.add_many(OPERATORS[stack.cell], inputs, outputs, operator_attributes(stack))
    return _Added(_add_sides(draft, layer, outputs[0]), finals)


def _add_sides(draft: Draft, layer: _Layer, tensor: str) -> tuple[str, ...]:
    """From the operator's `[time, directions, batch, hidden]`."""
    stack, name = layer.stack, layer.name
    if stack.directions == 1:
        return (draft.add("Squeeze", [tensor, draft.integers(1)], f"{name}_h"),)
    if stack.combine == "concat":
        by_batch = draft.transpose(tensor, f"{tensor}_by_batch", (0, 2, 1, 3))
        both = draft.integers(0, 0, stack.num_outputs)
        return (draft.add("Reshape", [by_batch, both], f"{name}_h"),)
    sides = [f"{name}_forward", f"{name}_backward"]
    draft.split(tensor, [f"{side}_kept" for side in sides], sizes=[1, 1], axis=1)
    return tuple(draft.add("Squeeze", [f"{side}_kept", draft.integers(1)], side) for side in sides)


def _add_loops(
    draft: Draft, layer: _Layer, steps: str, *, states: Sequence[str], valid: str
) -> _Added:
    stack, name = layer.stack, layer.name
    titles = [f"{name}_forward", f"{name}_backward"][: stack.directions]
    initial = [_add_sides_of_state(draft, tensor, titles) for tensor in states]
    initial = initial or [[""] * len(titles)] * stack.num_states
    finals = [[final] for final in layer.finals]
    if len(titles) == 2:
        finals = [[f"{title}_{k}_final" for title in titles] for k in _letters(stack)]
    steps_of = list[str]()
    for direction, title in enumerate(titles):
        side = Side(
            cell=stack.cell,
            hidden=stack.hidden,
            weights=stack.layer(layer.number).weights(direction),
            backward=direction == 1,
            name=title,
            finals=tuple(part[direction] for part in finals),
        )
        begins = [part[direction] for part in initial]
        steps_of.append(add_scanned(draft, side, steps, initial=begins, valid=valid))
    if len(titles) == 2:
        for sides, final in zip(finals, layer.finals, strict=True):
            draft.add("Concat", sides, final, {"axis": 0})
    return _Added(tuple(steps_of), layer.finals if states else ())


def _add_sides_of_state(draft: Draft, tensor: str, titles: Sequence[str]) -> list[str]:
    """`[directions, batch, hidden]` as one of each direction, `[1, batch, hidden]`."""
    if len(titles) == 1:
        return [tensor]
    names = [f"{title}_of_{tensor}" for title in titles]
    draft.split(tensor, names, sizes=[1, 1], axis=0)
    return names


def _add_passed_on(draft: Draft, layer: _Layer, read: str, sides: Sequence[str]) -> str:
    """What the next layer reads, `[time, batch, num_outputs]`; see `RecurrentStack`."""
    stack, name = layer.stack, layer.name
    steps = sides[0] if len(sides) == 1 else _add_combined(draft, layer, sides)
    if stack.residual and layer.number > 0:
        steps = draft.add("Add", [read, steps], f"{name}_added")
    if not stack.norms:
        return steps
    norm = stack.norm(layer.number)
    gain = draft.constant(f"{name}_gain", array(norm.weight))
    shift = draft.constant(f"{name}_shift", array(norm.bias))
    attributes = {"axis": -1, "epsilon": float(norm.eps)}
    return draft.add("LayerNormalization", [steps, gain, shift], f"{name}_normalised", attributes)


def _add_combined(draft: Draft, layer: _Layer, sides: Sequence[str]) -> str:
    name = f"{layer.name}_combined"
    if layer.stack.combine == "concat":
        return draft.add("Concat", sides, name, {"axis": 2})
    summed = draft.add("Add", sides, f"{layer.name}_both")
    if layer.stack.combine == "sum":
        return summed
    return draft.add("Mul", [summed, draft.number("half", 0.5)], name)


def _add_valid_steps(draft: Draft, steps: str) -> str:
    """`[time, batch, 1]` bool"""
    valid = add_valid(draft, steps, "layers_valid")
    return draft.add("Unsqueeze", [valid, draft.integers(2)], "layers_valid_steps")


def _split(draft: Draft, name: str, stack: RecurrentStack) -> list[str]:
    """One state tensor of the stack as one a layer."""
    if stack.num_layers == 1:
        return [name]
    names = [f"layer{layer}_{name}" for layer in range(stack.num_layers)]
    sizes = draft.integers(*[stack.directions] * stack.num_layers)
    return list(draft.add_many("Split", [name, sizes], names, {"axis": 0}))


def _letters(stack: RecurrentStack) -> tuple[str, ...]:
    return ("h", "c")[: stack.num_states]

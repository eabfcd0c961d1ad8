"""Recurrent layers as fused ONNX operators, one node a layer, time-major inside."""

from collections.abc import Sequence

from service.artifact.manifest import GraphSpec, StateSpec, TensorSpec
from training.export.draft import Draft
from training.export.weights import OPERATORS, layer_weights, operator_attributes
from training.nn.recurrent import RecurrentStack

MODEL_FILE, LENGTHS = "model.onnx", "lengths"
_STATE_LETTERS = {"lstm": ("h", "c")}


def state_specs(stack: RecurrentStack) -> tuple[StateSpec, ...]:
    """`h_in -> h_out`, and `c_in -> c_out` of an LSTM; `[layers * directions, batch, hidden]`."""
    directions = 2 if stack.fused.bidirectional else 1
    shape = (stack.fused.num_layers * directions, "batch", stack.fused.hidden_size)
    return tuple(
        StateSpec(input=f"{letter}_in", output=f"{letter}_out", shape=shape, batch_axis=1)
        for letter in _letters(stack)
    )


def add_stack(draft: Draft, stack: RecurrentStack, steps: str) -> str:
    """Append all layers to `draft`: `[time, batch, features]` to `[time, batch, outputs]`.

    Initial and final states are the graph's inputs and outputs that `state_specs` names.
    """
    layers, letters = stack.fused.num_layers, _letters(stack)
    initial = {letter: _split(draft, f"{letter}_in", stack) for letter in letters}
    finals: dict[str, list[str]] = {letter: [] for letter in letters}
    for layer in range(layers):
        states = [initial[letter][layer] for letter in letters]
        final = [_of_layer(f"{letter}_out", layer, stack) for letter in letters]
        steps = _add_layer(draft, stack, layer, steps=steps, states=states, finals=final)
        for letter, name in zip(letters, final, strict=True):
            finals[letter].append(name)
    if layers > 1:
        for letter in letters:
            draft.add("Concat", finals[letter], f"{letter}_out", {"axis": 0})
    return steps


def stack_graph(stack: RecurrentStack) -> tuple[Draft, GraphSpec]:
    """The layers alone: `values [batch, time, features]` to their outputs."""
    draft = Draft()
    spec = GraphSpec(
        file=MODEL_FILE,
        inputs=(
            TensorSpec(
                name="values",
                dtype="float32",
                shape=("batch", "time", stack.fused.input_size),
            ),
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


def _add_layer(
    draft: Draft,
    stack: RecurrentStack,
    layer: int,
    *,
    steps: str,
    states: Sequence[str],
    finals: Sequence[str],
) -> str:
    weights = layer_weights(stack, layer)
    bias = ""
    if weights.bias is not None:
        bias = draft.constant(f"layer{layer}_bias", weights.bias)
    inputs = [
        steps,
        draft.constant(f"layer{layer}_input_weights", weights.input),
        draft.constant(f"layer{layer}_recurrent_weights", weights.recurrent),
        bias,
        LENGTHS,
        *states,
    ]
    outputs = [f"layer{layer}_directions", *finals]
    operator = OPERATORS[stack.cell]
    draft.add_many(operator, inputs, outputs, operator_attributes(stack))
    return _join_directions(draft, outputs[0], f"layer{layer}_outputs", stack)


def _join_directions(draft: Draft, tensor: str, output: str, stack: RecurrentStack) -> str:
    """`[time, directions, batch, hidden]` to `[time, batch, directions * hidden]`."""
    if not stack.fused.bidirectional:
        return draft.add("Squeeze", [tensor, draft.integers(1)], output)
    by_batch = draft.transpose(tensor, f"{tensor}_by_batch", (0, 2, 1, 3))
    return draft.add("Reshape", [by_batch, draft.integers(0, 0, stack.num_outputs)], output)


def _split(draft: Draft, name: str, stack: RecurrentStack) -> list[str]:
    """One state tensor of the stack as one a layer."""
    layers = stack.fused.num_layers
    if layers == 1:
        return [name]
    directions = 2 if stack.fused.bidirectional else 1
    names = [_of_layer(name, layer, stack) for layer in range(layers)]
    sizes = draft.integers(*[directions] * layers)
    return list(draft.add_many("Split", [name, sizes], names, {"axis": 0}))


def _of_layer(name: str, layer: int, stack: RecurrentStack) -> str:
    return name if stack.fused.num_layers == 1 else f"layer{layer}_{name}"


def _letters(stack: RecurrentStack) -> tuple[str, ...]:
    return _STATE_LETTERS.get(stack.cell, ("h",))

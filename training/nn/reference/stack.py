"""Layers above each other, in one direction or both, with what lies between them. NumPy, float64.

The layers read each other from the bottom up; their gradients are passed on from the top down.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from training.config import Combine
from training.nn.reference.norm import NormWeights, normalise
from training.nn.reference.recurrence import (
    Array,
    Cell,
    Gradients,
    Rows,
    State,
    Weights,
    run,
    run_backward,
)

Directions = tuple[Weights, ...]
"""Of one layer: forward, and backward if it looks both ways."""


@dataclass(frozen=True, slots=True)
class Stack:
    cell: Cell
    layers: tuple[Directions, ...]
    combine: Combine = "concat"
    residual: bool = False
    """Whether every layer but the first adds to what it reads."""
    norms: tuple[NormWeights, ...] = ()
    """Of every layer, or of none."""


@dataclass(frozen=True, slots=True)
class StackGradients:
    inputs: Array
    state: State
    layers: tuple[Directions, ...]
    norms: tuple[NormWeights, ...]


@dataclass(frozen=True, slots=True)
class RanStack:
    outputs: Array
    """`[batch, time, features]`, zero past a row's length."""
    state: State
    """`[layers * directions, batch, hidden]`, after each row's last valid step."""
    back: Callable[[Array, State], StackGradients]


@dataclass(frozen=True, slots=True)
class _RanLayer:
    outputs: Array
    state: State
    """`[directions, batch, hidden]`"""
    back: Callable[[Array, State], "_LayerGradients"]


@dataclass(frozen=True, slots=True)
class _LayerGradients:
    inputs: Array
    state: State
    directions: Directions
    norm: tuple[NormWeights, ...]


def run_stack(stack: Stack, rows: Rows, state: State) -> RanStack:
    """From `state [layers * directions, batch, hidden]`, h or h and c."""
    directions = len(stack.layers[0])
    layers, inputs = list[_RanLayer](), rows.inputs
    for number in range(len(stack.layers)):
        part = tuple(s[number * directions : (number + 1) * directions] for s in state)
        layers.append(_run_layer(stack, number, Rows(inputs, rows.lengths), part))
        inputs = layers[-1].outputs

    def back(d_outputs: Array, d_state: State) -> StackGradients:
        gradients = list[_LayerGradients]()
        for number, layer in reversed(list(enumerate(layers))):
            part = tuple(d[number * directions : (number + 1) * directions] for d in d_state)
            gradients.insert(0, layer.back(d_outputs, part))
            d_outputs = gradients[0].inputs
        return StackGradients(
            inputs=d_outputs,
            state=_joined([one.state for one in gradients]),
            layers=tuple(one.directions for one in gradients),
            norms=tuple(norm for one in gradients for norm in one.norm),
        )

    return RanStack(inputs, _joined([layer.state for layer in layers]), back)


def combined(sides: list[Array], how: Combine) -> Array:
    """Both directions' outputs `[batch, time, hidden]` as one; of one direction its own."""
    match how:
        case "concat":
            return np.concatenate(sides, axis=-1)
        case "sum":
            return np.sum(sides, axis=0)
        case "mean":
            return np.mean(sides, axis=0)


def _uncombined(d_outputs: Array, how: Combine, directions: int) -> list[Array]:
    """What reaches each direction: its own half, all of it, or its share."""
    match how:
        case "concat":
            return np.split(d_outputs, directions, axis=-1)
        case "sum":
            return [d_outputs] * directions
        case "mean":
            return [d_outputs / directions] * directions


def _run_layer(stack: Stack, number: int, rows: Rows, state: State) -> _RanLayer:
    directions = stack.layers[number]
    sides = [
        (run, run_backward)[side](stack.cell, rows, tuple(s[side] for s in state), weights)
        for side, weights in enumerate(directions)
    ]
    residual = stack.residual and number > 0
    outputs = combined([side.outputs for side in sides], stack.combine)
    if residual:
        outputs = rows.inputs + outputs
    norm = normalise(Rows(outputs, rows.lengths), stack.norms[number]) if stack.norms else None

    def back(d_outputs: Array, d_state: State) -> _LayerGradients:
        d_norm = ()
        if norm is not None:
            through = norm.back(d_outputs)
            d_outputs, d_norm = through.inputs, (through.weights,)
        reaching = _uncombined(d_outputs, stack.combine, len(sides))
        gradients: list[Gradients] = [
            side.back(d, tuple(s[k] for s in d_state))
            for k, (side, d) in enumerate(zip(sides, reaching, strict=True))
        ]
        d_inputs = np.sum([one.inputs for one in gradients], axis=0)
        return _LayerGradients(
            inputs=d_inputs + d_outputs if residual else d_inputs,
            state=_stacked([one.state for one in gradients]),
            directions=tuple(one.weights for one in gradients),
            norm=d_norm,
        )

    final = _stacked([side.state for side in sides])
    return _RanLayer(outputs if norm is None else norm.outputs, final, back)


def _stacked(states: list[State]) -> State:
    return tuple(np.stack(parts) for parts in zip(*states, strict=True))


def _joined(states: list[State]) -> State:
    return tuple(np.concatenate(parts) for parts in zip(*states, strict=True))

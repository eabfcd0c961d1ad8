"""A cell, step after step over ragged rows, and the way back through time. NumPy, float64.

A step returns the new state and `back`, which takes what the loss changes by with that state to
what it changes by with all that the step read: the chain rule, written out by hand in `cells.py`.
Going back through time is calling the steps' `back` from the last to the first.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Integers = NDArray[np.integer[Any]]

State = tuple[Array, ...]
"""`(h,)`, or `(h, c)` of an LSTM; each `[batch, hidden]`."""

Weights = Mapping[str, Array]
"""W of the input `[gates * hidden, features]`, R of the state `[gates * hidden, hidden]`, and their
biases b and d `[gates * hidden]`; each cell says which it has, what else, and the order of its
gates."""


@dataclass(frozen=True, slots=True)
class StepGradients:
    """What the loss changes by with each thing that a step read; of the same shapes."""

    x: Array
    state: State
    weights: Weights


@dataclass(frozen=True, slots=True)
class Step:
    state: State
    back: Callable[[State], StepGradients]
    """From the gradient with respect to `state`."""


Cell = Callable[[Array, State, Weights], Step]
"""From `x [batch, features]` and the state before."""


@dataclass(frozen=True, slots=True)
class Gradients:
    inputs: Array
    state: State
    """With respect to the initial state."""
    weights: Weights


@dataclass(frozen=True, slots=True)
class Ran:
    outputs: Array
    """h at every step, `[batch, time, hidden]`, zero past a row's length."""
    state: State
    """After each row's last valid step."""
    back: Callable[[Array, State], Gradients]
    """From the gradients with respect to `outputs` and `state`."""


@dataclass(frozen=True, slots=True)
class Rows:
    """Ragged rows: what is past a row's length is never looked at."""

    inputs: Array
    """`[batch, time, features]`"""
    lengths: Integers
    """`[batch]`, each in 1..time"""


def run(cell: Cell, rows: Rows, state: State, weights: Weights) -> Ran:
    """Forward in time: a row that has ended keeps its state."""
    valid = valid_steps(rows)[..., None]  # [batch, time, 1]
    inputs = np.where(valid, rows.inputs, 0.0)
    num_steps = inputs.shape[1]
    outputs = np.zeros((*inputs.shape[:2], state[0].shape[-1]))
    steps = list[Step]()
    for t in range(num_steps):
        step = cell(inputs[:, t], state, weights)
        state = _choose(valid[:, t], step.state, state)
        outputs[:, t] = np.where(valid[:, t], state[0], 0.0)
        steps.append(step)

    def back(d_outputs: Array, d_state: State) -> Gradients:
        d_inputs = np.zeros_like(inputs)
        d_weights = {name: np.zeros_like(value) for name, value in weights.items()}
        for t in reversed(range(num_steps)):
            h, *rest = d_state
            arriving = (h + d_outputs[:, t], *rest)
            nothing = tuple(np.zeros_like(part) for part in d_state)
            gradients = steps[t].back(_choose(valid[:, t], arriving, nothing))
            d_inputs[:, t] = gradients.x
            for name, gradient in gradients.weights.items():
                d_weights[name] += gradient
            d_state = _choose(valid[:, t], gradients.state, d_state)
        return Gradients(d_inputs, d_state, d_weights)

    return Ran(outputs, state, back)


def run_backward(cell: Cell, rows: Rows, state: State, weights: Weights) -> Ran:
    """From each row's own last step to its first; outputs stay where their inputs are."""
    ran = run(cell, Rows(turned(rows.inputs, rows.lengths), rows.lengths), state, weights)

    def back(d_outputs: Array, d_state: State) -> Gradients:
        gradients = ran.back(turned(d_outputs, rows.lengths), d_state)
        d_inputs = turned(gradients.inputs, rows.lengths)
        return Gradients(d_inputs, gradients.state, gradients.weights)

    return Ran(turned(ran.outputs, rows.lengths), ran.state, back)


def turned(values: Array, lengths: Integers) -> Array:
    """`[batch, time, features]` with each row's valid steps in reverse; its own inverse."""
    steps = np.arange(values.shape[1])
    ends = lengths[:, None]
    places = np.where(steps < ends, ends - 1 - steps, steps)  # [batch, time]
    return np.take_along_axis(values, places[..., None], axis=1)


def valid_steps(rows: Rows) -> NDArray[np.bool_]:
    """`[batch, time]`: which steps are before their row's end."""
    return np.arange(rows.inputs.shape[1]) < rows.lengths[:, None]


def _choose(valid: NDArray[np.bool_], state: State, other: State) -> State:
    """Row by row."""
    return tuple(np.where(valid, a, b) for a, b in zip(state, other, strict=True))

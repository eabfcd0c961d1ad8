"""What the outside sees of a state: y = V h + c, at every step or at a row's last. NumPy."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from training.nn.reference.recurrence import Array, Integers


@dataclass(frozen=True, slots=True)
class ReadoutWeights:
    V: Array
    """`[outputs, hidden]`"""
    c: Array
    """`[outputs]`"""


@dataclass(frozen=True, slots=True)
class ReadoutGradients:
    states: Array
    weights: ReadoutWeights


@dataclass(frozen=True, slots=True)
class Read:
    outputs: Array
    back: Callable[[Array], ReadoutGradients]


def read_steps(states: Array, weights: ReadoutWeights) -> Read:
    """Many to many: `states [batch, time, hidden]` to `[batch, time, outputs]`."""

    def back(d_outputs: Array) -> ReadoutGradients:
        d_V = np.einsum("bto,bth->oh", d_outputs, states)
        return ReadoutGradients(d_outputs @ weights.V, ReadoutWeights(d_V, d_outputs.sum((0, 1))))

    return Read(states @ weights.V.T + weights.c, back)


def read_last(states: Array, lengths: Integers, weights: ReadoutWeights) -> Read:
    """Many to one: each row's last valid step, `[batch, outputs]`; one output is a scalar's."""
    last = (np.arange(len(lengths)), lengths - 1)
    steps = read_steps(states, weights)

    def back(d_outputs: Array) -> ReadoutGradients:
        d_steps = np.zeros(steps.outputs.shape)
        d_steps[last] = d_outputs
        return steps.back(d_steps)

    return Read(steps.outputs[last], back)

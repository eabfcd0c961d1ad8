"""`step(inputs, lengths, state) -> outputs, state`: nothing is remembered between calls.

Data is batch first, `[batch, time, ...]`. A state is a tuple of arrays, so that RNN, GRU, LSTM and
stacks look alike; each array has its own batch axis (1 for the usual `[layers, batch, hidden]`).
"""

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

State = tuple[NDArray[np.float32], ...]
"""Of a batch, or, without the batch axes, of one row."""


class DeviceState(Protocol):
    """A batch's state where the runtime left it; a call of the same rows takes it as it is."""

    def to_host(self) -> State:
        """A copy in the host's memory."""
        ...


BatchState = State | DeviceState


def host_state(state: BatchState) -> State:
    return state if isinstance(state, tuple) else state.to_host()


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class Memory:
    """What the rows of a batch look back at: read only, and the same at every step of theirs.

    Compared by identity: the same one comes again as long as its rows step together.
    """

    values: NDArray[np.float32]
    """`[batch, source_time, features]`; padding is zero."""
    lengths: NDArray[np.int32]
    """`[batch]`, each in 1..source_time."""


@dataclass(frozen=True, slots=True)
class StepInput:
    """A padded batch of chunks. Padding is zero; the lengths say where it begins."""

    values: NDArray[Any]
    """`[batch, time]` token ids or `[batch, time, features]` numbers."""
    lengths: NDArray[np.int32]
    """`[batch]`, each in 1..time."""
    state: BatchState
    single: bool = False
    """Whether the whole input of every row is this one step. Which graph runs it must follow from
    the row alone, and never from the company in which it runs."""
    memory: Memory | None = None
    """Of a decoder."""


@dataclass(frozen=True, slots=True)
class StepOutput:
    outputs: dict[str, NDArray[np.float32]]
    """`[batch, time, ...]` per step (zero or noise past a row's length), or `[batch, ...]`."""
    state: BatchState
    """After each row's last valid step."""


class Runtime(Protocol):
    """All that the engine knows of ONNX Runtime."""

    @property
    def batch_axes(self) -> tuple[int, ...]:
        """The batch axis of each state array."""
        ...

    @property
    def per_step(self) -> frozenset[str]:
        """The outputs that have a time axis."""
        ...

    def initial_state(self) -> State:
        """The zero state of one row."""
        ...

    def step(self, step: StepInput) -> StepOutput:
        """Advance every row by its chunk. Safe to call from several threads at once."""
        ...

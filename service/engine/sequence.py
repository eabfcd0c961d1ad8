"""A sequence is one row of work: inputs not yet fed, a state, and what to do with outputs."""

import itertools
from collections.abc import Sequence as Rows
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from service.engine.collector import Collector
from service.errors import RecurError
from service.runtime.base import State

_tickets = itertools.count()


@dataclass(frozen=True, slots=True)
class RowOutput:
    """What one step gave one row, without padding. Views of the batch: copy what you keep."""

    outputs: dict[str, NDArray[np.float32]]
    """`[steps, ...]` for outputs with a time axis, `[...]` for the others."""
    state: State
    exhausted: bool
    """Whether the row has now consumed all its inputs."""
    finite: bool = True
    """Whether every number of outputs and state is."""


@dataclass(frozen=True, slots=True)
class Advance:
    """What a continuation made of a row's output."""

    item: object | None = None
    """Handed to the caller at once."""
    next_inputs: NDArray[Any] | None = None
    """`[steps, ...]` to go on with."""
    done: bool = False
    error: RecurError | None = None


class Continuation(Protocol):
    """Decides what a row's outputs mean and whether it goes on."""

    goes_on: ClassVar[bool]
    """Whether it makes inputs of its own, step by step, once the given ones are consumed."""

    @classmethod
    def accept(cls, rows: Rows[tuple[Self, RowOutput]]) -> list[Advance]:
        """One Advance for each row. All rows of a kind come at once, so that it can vectorise."""
        ...


@dataclass(slots=True, eq=False)
class Sequence:
    """Mutable, compared by identity; owned by the engine's thread once submitted."""

    inputs: NDArray[Any]
    """`[steps, ...]`."""
    state: State
    continuation: Continuation
    collector: Collector
    arrived: float
    key: int = 0
    """Which row of its collector's call it is."""
    deadline: float | None = None
    position: int = 0
    """Steps of `inputs` consumed."""
    ticket: int = field(default_factory=lambda: next(_tickets))
    """The place in the line; a new one each time that the row goes back."""
    started: bool = False
    answered: bool = False
    """Its last arrival is on its way to the collector: no deadline may answer it again."""

    @property
    def remaining(self) -> int:
        return len(self.inputs) - self.position

    @property
    def dropped(self) -> bool:
        """Whether nobody waits for it any more."""
        return self.answered or self.collector.closed

    def go_on(self, inputs: NDArray[Any]) -> None:
        self.inputs, self.position = inputs, 0

    def to_the_end_of_the_line(self) -> None:
        self.ticket = next(_tickets)

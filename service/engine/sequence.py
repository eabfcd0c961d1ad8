"""A sequence is one row of work: inputs not yet fed, a state, and what to do with outputs."""

from collections.abc import Sequence as Rows
from typing import Any, ClassVar, NamedTuple, Protocol, Self

import msgspec
import numpy as np
from numpy.typing import NDArray

from service.engine.collector import Collector
from service.engine.row_output import RowOutput
from service.errors import RecurError
from service.runtime.base import State


class Flow(NamedTuple):
    """Whose work it is, and how much it counts: flows of one model share it by weight."""

    tenant: str = ""
    weight: float = 1.0


NOBODYS = Flow()


class Advance(NamedTuple):
    """What a continuation made of a row's output. A tuple: one is made for every token."""

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

    @property
    def every_chunk(self) -> bool:
        """Whether it wants the outputs of every chunk, or those of the last one only."""
        ...

    @classmethod
    def accept(cls, rows: Rows[tuple[Self, RowOutput]]) -> list[Advance]:
        """One Advance for each row. All rows of a kind come at once, so that it can vectorise."""
        ...


class Sequence(msgspec.Struct, eq=False):
    """Mutable, compared by identity; owned by one worker's thread once submitted."""

    inputs: NDArray[Any]
    """`[steps, ...]`."""
    state: State | None
    """Where it starts; None once its state lies in the arena."""
    continuation: Continuation
    collector: Collector
    arrived: float
    flow: Flow = NOBODYS
    memory: NDArray[np.float32] | None = None
    """`[source_time, features]`: what a decoder's row looks back at."""
    key: int = 0
    """Which row of its collector's call it is."""
    deadline: float | None = None
    position: int = 0
    """Steps of `inputs` consumed."""
    steps_taken: int = 0
    """Of all its inputs so far."""
    slot: int = -1
    """Its place in the arena; -1 is none."""
    started: bool = False
    answered: bool = False
    """Its last arrival is on its way to the collector: no deadline may answer it again."""

    @property
    def remaining(self) -> int:
        return len(self.inputs) - self.position

    @property
    def single(self) -> bool:
        """Whether its whole input is one step: a property of its own, whatever its company."""
        return len(self.inputs) == 1

    @property
    def goes_on(self) -> bool:
        return self.continuation.goes_on

    @property
    def dropped(self) -> bool:
        """Whether nobody waits for it any more."""
        return self.answered or self.collector.closed

    def advance(self, steps: int) -> None:
        self.position += steps
        self.steps_taken += steps

    def go_on(self, inputs: NDArray[Any]) -> None:
        self.inputs, self.position = inputs, 0

"""Many models' rows stepped in turns, one batch a turn: the lane that was given least goes next.

Knows nothing of threads, of asyncio or of admission. A model without rows costs nothing.
"""

import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

import structlog

from service.engine.arena import Arena
from service.engine.collector import Arrival, Collector
from service.engine.observer import Observer
from service.engine.row_output import BatchOutput, RowOutput
from service.engine.scheduler import Batch, Scheduler
from service.engine.sequence import Advance, Continuation, Sequence
from service.engine.step import run_step
from service.errors import DeadlineExceeded, Draining, ModelFailed, RecurError
from service.runtime.base import Runtime

_log = structlog.get_logger(__name__)


class Delivery(NamedTuple):
    collector: Collector
    arrival: Arrival


@dataclass(slots=True, eq=False)
class Lane:
    """What it takes to step one model's rows; it belongs to one worker."""

    name: str
    runtime: Runtime
    scheduler: Scheduler
    arena: Arena
    observer: Observer
    deliver: Callable[[list[Delivery]], None]
    """Gets all that a step gave, wherever the worker runs."""
    seconds: float = field(default=0.0)
    """The worker's time that it was given; whoever was idle is not owed any."""


class Turns:
    """The lanes of one worker.

    What a step gave is handed over when the next call begins: whoever gets it then runs beside the
    call, and not in its way. If no call is to follow, the worker hands it over.
    """

    def __init__(self) -> None:
        self._busy: list[Lane] = []
        """Lanes with work, in no order."""
        self._seconds = 0.0
        """How far the lane served last had come when it was its turn."""
        self._made: list[tuple[Lane, list[Delivery]]] = []

    def __bool__(self) -> bool:
        return bool(self._busy)

    def add(self, lane: Lane, sequences: list[Sequence]) -> None:
        if lane not in self._busy:
            lane.seconds = max(lane.seconds, self._seconds)
            self._busy.append(lane)
        for sequence in sequences:
            lane.scheduler.add(sequence)

    def take(self) -> None:
        """One batch of the lane whose turn it is."""
        lane = min(self._busy, key=_seconds)
        self._seconds = lane.seconds
        began = time.monotonic()
        self._serve(lane, began)
        lane.seconds += time.monotonic() - began
        if not lane.scheduler:
            self._leave(lane)

    def hand_over(self) -> None:
        """What was made and has not been yet."""
        made, self._made = self._made, []
        for lane, deliveries in made:
            lane.deliver(deliveries)

    def clear(self, lane: Lane | None) -> None:
        """What still waits there, or without a lane anywhere, fails with Draining."""
        error = Draining("the server stopped before the work was done")
        for one in [*self._busy] if lane is None else [lane]:
            self._make(one, [_failure(sequence, error) for sequence in one.scheduler.clear()])
            self._leave(one)
        self.hand_over()

    def _serve(self, lane: Lane, now: float) -> None:
        expired = lane.scheduler.expire(now)
        if expired:
            lane.observer.expired(len(expired))
            error = DeadlineExceeded("the deadline passed before the answer was ready")
            self._make(lane, [_failure(sequence, error) for sequence in expired])
        batch = lane.scheduler.next_batch(now)
        if batch is not None:
            self._make(lane, _step(lane, batch, now, before_call=self.hand_over))

    def _make(self, lane: Lane, deliveries: list[Delivery]) -> None:
        if deliveries:
            self._made.append((lane, deliveries))

    def _leave(self, lane: Lane) -> None:
        lane.arena.forget()
        if lane in self._busy:
            self._busy.remove(lane)


def _step(
    lane: Lane, batch: Batch, now: float, *, before_call: Callable[[], None]
) -> list[Delivery]:
    """Run the batch. Whatever happens, each of its rows goes on or is answered."""
    lane.observer.queued(batch, now)
    try:
        output = run_step(lane.runtime, lane.arena, batch, before_call=before_call)
        lane.observer.stepped(batch, output, time.monotonic() - now)
        advances = _accept(batch, output)
    except Exception as error:  # noqa: BLE001 - the edge of the engine: its rows fail, it goes on
        _log.exception("step failed", model=lane.name, rows=len(batch.rows))
        failure = error if isinstance(error, RecurError) else ModelFailed("the step failed")
        return [_failure(sequence, failure) for sequence in batch.rows]
    deliveries: list[Delivery] = []
    unfinished: list[Sequence] = []
    for sequence, advance in zip(batch.rows, advances, strict=True):
        if advance is None:
            unfinished.append(sequence)
            continue
        if advance.next_inputs is not None:
            sequence.go_on(advance.next_inputs)
        sequence.answered = advance.done or advance.error is not None
        if sequence.answered:
            lane.arena.release(sequence)
        else:
            unfinished.append(sequence)
        if advance.item is not None or sequence.answered:
            arrival = Arrival(sequence.key, advance.item, advance.done, advance.error)
            deliveries.append(Delivery(sequence.collector, arrival))
    lane.scheduler.put_back(unfinished)
    return deliveries


def _failure(sequence: Sequence, error: RecurError) -> Delivery:
    sequence.answered = True
    return Delivery(sequence.collector, Arrival(sequence.key, None, done=True, error=error))


def _accept(batch: Batch, output: BatchOutput) -> list[Advance | None]:
    """Ask each kind of continuation about all its rows at once; the order stays the batch's.

    None for the rows that are only on their way: nobody looks at what they gave.
    """
    kinds: defaultdict[type[Continuation], list[int]] = defaultdict(list)
    for index, sequence in enumerate(batch.rows):
        continuation = sequence.continuation
        if not sequence.remaining or continuation.every_chunk:
            kinds[type(continuation)].append(index)
    advances: list[Advance | None] = [None] * len(batch.rows)
    for kind, indices in kinds.items():
        mine = [_given(batch.rows[index], output, index) for index in indices]
        for index, advance in zip(indices, kind.accept(mine), strict=True):
            advances[index] = advance
    return advances


def _given(sequence: Sequence, output: BatchOutput, index: int) -> tuple[Continuation, RowOutput]:
    return sequence.continuation, RowOutput(output, index, exhausted=not sequence.remaining)


def _seconds(lane: Lane) -> float:
    return lane.seconds

"""One thread that steps the rows of many models, each in its lane; the lane served least goes next.

It knows nothing of asyncio or of admission. A model without rows has no thread and costs nothing.
"""

import queue
import threading
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
    """What one worker needs to step one model's rows. Belongs to the worker's thread."""

    name: str
    runtime: Runtime
    scheduler: Scheduler
    arena: Arena
    observer: Observer
    deliver: Callable[[list[Delivery]], None]
    """Gets, after each step and on the worker's thread, all that the step gave."""
    seconds: float = field(default=0.0)
    """Time of the thread that it was given; whoever was idle is not owed any."""


@dataclass(frozen=True, slots=True)
class _Put:
    lane: Lane
    sequences: list[Sequence]


@dataclass(frozen=True, slots=True)
class _End:
    """Of one lane, or of all and the thread with them."""

    lane: Lane | None
    ended: Callable[[], None]


class Worker:
    """Its methods are the event loop's. The thread begins with the first work."""

    def __init__(self, name: str) -> None:
        self._inbox: queue.SimpleQueue[_Put | _End] = queue.SimpleQueue()
        self._busy: list[Lane] = []
        """Lanes with work, in no order."""
        self._seconds = 0.0
        """The lane served last had come so far when it was its turn."""
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def put(self, lane: Lane, sequences: list[Sequence]) -> None:
        """In one piece, so that it does not set out with the first row alone."""
        if self._thread.ident is None:
            self._thread.start()
        self._inbox.put(_Put(lane, sequences))

    def end(self, lane: Lane | None, *, ended: Callable[[], None] = lambda: None) -> None:
        """What still waits fails with Draining; then `ended` is called, on the worker's thread.

        Without a lane, all of them, and the thread ends.
        """
        if self._thread.is_alive():
            self._inbox.put(_End(lane, ended))
        else:
            ended()

    def join(self) -> None:
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        while self._take_in():
            if self._busy:
                lane = min(self._busy, key=_seconds)
                self._seconds = lane.seconds
                began = time.monotonic()
                self._serve(lane, began)
                lane.seconds += time.monotonic() - began
                if not lane.scheduler:
                    self._busy.remove(lane)
                    lane.arena.forget()

    def _take_in(self) -> bool:
        """Move the inbox into the lanes, waiting only while idle; False when the thread ends."""
        while True:
            try:
                order = self._inbox.get(block=not self._busy)
            except queue.Empty:
                return True
            match order:
                case _Put(lane, sequences):
                    if lane not in self._busy:
                        lane.seconds = max(lane.seconds, self._seconds)
                        self._busy.append(lane)
                    for sequence in sequences:
                        lane.scheduler.add(sequence)
                case _End(lane, ended):
                    for one in list(self._busy) if lane is None else [lane]:
                        self._clear(one)
                    ended()
                    if lane is None:
                        return False
            if self._inbox.empty():
                return True

    def _clear(self, lane: Lane) -> None:
        error = Draining("the server stopped before the work was done")
        _deliver(lane, [_failure(sequence, error) for sequence in lane.scheduler.clear()])
        lane.arena.forget()
        if lane in self._busy:
            self._busy.remove(lane)

    def _serve(self, lane: Lane, now: float) -> None:
        """One batch of the lane."""
        expired = lane.scheduler.expire(now)
        if expired:
            lane.observer.expired(len(expired))
            error = DeadlineExceeded("the deadline passed before the answer was ready")
            _deliver(lane, [_failure(sequence, error) for sequence in expired])
        batch = lane.scheduler.next_batch(now)
        if batch is not None:
            _deliver(lane, _step(lane, batch, now))


def _step(lane: Lane, batch: Batch, now: float) -> list[Delivery]:
    """Run the batch. Whatever happens, each of its rows goes on or is answered."""
    lane.observer.queued(batch, now)
    try:
        output = run_step(lane.runtime, lane.arena, batch)
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


def _deliver(lane: Lane, deliveries: list[Delivery]) -> None:
    if deliveries:
        lane.deliver(deliveries)


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
        if not sequence.remaining or continuation.every_chunk or not output.finite:
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

"""Admits one model's work, spreads it over the workers, and brings what they make to the loop.

Threads and asyncio meet here only, at two points: sequences go in through a worker's queue, and
all items of a step go to their collectors by one `call_soon_threadsafe`.
"""

import asyncio
import time
from collections.abc import Callable, Generator
from collections.abc import Sequence as Rows
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from service.engine.arena import Arena
from service.engine.collector import Collector
from service.engine.cost import TYPICAL, CostModel
from service.engine.lanes import Delivery, Lane
from service.engine.observer import Observer
from service.engine.pool import Pool
from service.engine.scheduler import Scheduler, SchedulerConfig
from service.engine.sequence import NOBODYS, Continuation, Flow, Sequence
from service.errors import DeadlineExceeded, Draining, QueueFull
from service.runtime.base import Runtime, State
from service.telemetry.metrics import Metrics

_SINGLES_SLACK = 1.5
"""A batch of single steps that costs each row so much more than the fullest one is worth a second
thread."""
_SHORT_SECONDS = 0.002
"""A call that the event loop may make itself; ten of them would be felt."""


@dataclass(frozen=True, slots=True)
class EngineConfig:
    scheduler: SchedulerConfig = field(default_factory=SchedulerConfig)
    num_workers: int = 1
    """Threads that step rows side by side, shared by all models."""
    max_queue: int = 4096
    """Sequences that one model has admitted and not yet answered."""


class Row(msgspec.Struct, frozen=True):
    """One row of a call: what to feed from which state, and what to do with the outputs."""

    inputs: NDArray[Any]
    """`[steps, ...]`, at least one step."""
    state: State
    continuation: Continuation
    memory: NDArray[np.float32] | None = None
    """`[source_time, features]`: what a decoder looks back at, at every step."""


Submit = Callable[[Rows[Row]], Collector]
"""Queues rows of sequences that were admitted. Raises Draining if the engine was closed since."""


class Engine:
    """Steps one model's sequences. Created, used and closed on one event loop."""

    def __init__(
        self,
        runtime: Runtime,
        config: EngineConfig,
        *,
        pool: Pool,
        name: str,
        whole: bool,
        metrics: Metrics,
        cost: CostModel = TYPICAL,
    ) -> None:
        """`whole`: sequences cannot be cut in time."""
        self._config = config
        self._loop = asyncio.get_running_loop()
        self._name = name
        self._shed = metrics.shed
        self._idle = asyncio.Event()
        self._idle.set()
        self._closing = False
        self._closed = False
        self._num_holders = 0
        self._in_flight = 0
        self._workers = (*pool.threads, pool.loop)
        zero, axes = runtime.initial_state(), runtime.batch_axes
        self._lanes = [
            Lane(
                name,
                runtime,
                Scheduler(config.scheduler, whole=whole, cost=cost),
                Arena(zero, axes),
                Observer(metrics, name, writer=number),
                _hand_out if worker is pool.loop else self._hand_over,
            )
            for number, worker in enumerate(self._workers)
        ]
        self._loads = [_Load() for _ in self._workers]
        most = config.scheduler.max_rows
        self._enough_singles = cost.enough_rows(steps=1, most=most, slack=_SINGLES_SLACK)
        self._cost = cost
        self._steps_on_loop = cost.seconds(most, 1) <= _SHORT_SECONDS

    @property
    def in_flight(self) -> int:
        """Sequences admitted and not yet answered."""
        return self._in_flight

    @property
    def in_use(self) -> bool:
        """Whether something is in flight, or someone holds it for more to come."""
        return self._num_holders > 0 or self._in_flight > 0

    @contextmanager
    def hold(self) -> Generator[None]:
        """Keeps the engine from being replaced between two pieces of the same work."""
        self._num_holders += 1
        try:
            yield
        finally:
            self._num_holders -= 1

    def submit(self, rows: Rows[Row], *, deadline: float | None, flow: Flow = NOBODYS) -> Collector:
        """Queue all rows, or none. Raises QueueFull, Draining, DeadlineExceeded."""
        alone = len(rows) == 1 and not self._in_flight
        self._admit(len(rows), deadline)
        return self._queue(rows, deadline, flow, alone=alone, on_row_done=self._answered)

    @contextmanager
    def reserve(
        self, num_sequences: int, *, deadline: float | None, flow: Flow = NOBODYS
    ) -> Generator[Submit]:
        """Admit sequences whose work comes in pieces: nothing of it is refused midway, and a drain
        waits for all of it. Raises what `submit` raises."""
        self._admit(num_sequences, deadline)

        def submit(rows: Rows[Row]) -> Collector:
            if self._closed:
                raise self._draining()
            return self._queue(rows, deadline, flow, alone=False, on_row_done=_nothing)

        try:
            yield submit
        finally:
            for _ in range(num_sequences):
                self._answered()

    def _queue(
        self,
        rows: Rows[Row],
        deadline: float | None,
        flow: Flow,
        *,
        alone: bool,
        on_row_done: Callable[[], None],
    ) -> Collector:
        """Rows that were admitted."""
        now = time.monotonic()
        places = [self._take_place(row, alone=alone) for row in rows]

        def leave(key: int) -> None:
            self._loads[places[key]].add(rows[key], -1)
            on_row_done()

        collector = Collector(len(rows), on_row_done=leave, loop=self._loop)
        shares: list[list[Sequence]] = [[] for _ in self._workers]
        for key, row in enumerate(rows):
            shares[places[key]].append(
                Sequence(
                    row.inputs,
                    row.state,
                    row.continuation,
                    collector,
                    arrived=now,
                    flow=flow,
                    memory=row.memory,
                    key=key,
                    deadline=deadline,
                )
            )
        for worker, lane, share in zip(self._workers, self._lanes, shares, strict=True):
            if share:
                worker.put(lane, share)
        return collector

    async def drain(self, timeout_seconds: float) -> bool:
        """Admit nothing more and wait for what is in flight; False if the time ran out first."""
        self._closing = True
        try:
            async with asyncio.timeout(timeout_seconds):
                await self._idle.wait()
        except TimeoutError:
            return False
        return True

    async def close(self) -> None:
        """Leave the threads to others; what is still in flight fails with Draining. Idempotent."""
        self._closing = self._closed = True
        for worker, lane in zip(self._workers, self._lanes, strict=True):
            ended = asyncio.Event()
            worker.end(lane, ended=partial(self._tell, ended))
            await ended.wait()
        await asyncio.sleep(0)  # let the last deliveries run

    def _admit(self, num_rows: int, deadline: float | None) -> None:
        if self._closing:
            raise self._draining()
        if self.in_flight + num_rows > self._config.max_queue:
            self._shed.labels(reason="queue_full").inc()
            raise QueueFull(
                f"{self.in_flight} sequences are waiting for {self._name}; "
                f"RECUR_MAX_QUEUE allows {self._config.max_queue}",
                details={"limit": self._config.max_queue},
            )
        if deadline is not None and deadline <= time.monotonic():
            self._shed.labels(reason="deadline").inc()
            raise DeadlineExceeded("the deadline passed before the work was queued")
        self._in_flight += num_rows
        self._idle.clear()

    def _answered(self) -> None:
        """One of the sequences admitted."""
        self._in_flight -= 1
        if not self._in_flight:
            self._idle.set()

    def _draining(self) -> Draining:
        return Draining(f"model {self._name} is being replaced or shut down")

    def _take_place(self, row: Row, *, alone: bool) -> int:
        """A worker for the row: the thread with the fewest steps to do, or the loop.

        Rows that take a step at a time gather on the first thread that has not enough of them for
        a full-sized batch: apart they would cost more than a second thread gains. For the loop is
        what takes it no time worth a thread's: one step and no more, if even a full batch of such
        is short, and a short row that nothing else is waiting for.
        """
        loads = self._loads
        if not row.continuation.goes_on and self._is_for_loop(len(row.inputs), alone=alone):
            place = len(loads) - 1
        elif _is_single(row):
            enough = self._enough_singles
            threads = range(len(loads) - 1)
            place = next((at for at in threads if loads[at].singles < enough), -1)
            if place < 0:
                place = min(threads, key=lambda at: loads[at].singles)
        else:
            place = min(range(len(loads) - 1), key=lambda at: loads[at].steps)
        loads[place].add(row, 1)
        return place

    def _is_for_loop(self, steps: int, *, alone: bool) -> bool:
        if steps == 1:
            return self._steps_on_loop
        return alone and self._cost.seconds(1, steps) <= _SHORT_SECONDS

    def _tell(self, event: asyncio.Event) -> None:
        """On a worker's thread, or on the loop."""
        self._loop.call_soon_threadsafe(event.set)

    def _hand_over(self, deliveries: list[Delivery]) -> None:
        """On a worker's thread."""
        self._loop.call_soon_threadsafe(_hand_out, deliveries)


@dataclass(slots=True)
class _Load:
    """What one worker has of this model and has not answered."""

    singles: int = 0
    """Rows that take a step at a time."""
    steps: int = 0
    """Of all other rows."""

    def add(self, row: Row, sign: int) -> None:
        if _is_single(row):
            self.singles += sign
        else:
            self.steps += sign * len(row.inputs)


def _is_single(row: Row) -> bool:
    return len(row.inputs) == 1 or row.continuation.goes_on


def _nothing() -> None:
    """Rows of a reservation were counted when it was made."""


def _hand_out(deliveries: list[Delivery]) -> None:
    for delivery in deliveries:
        delivery.collector.put(delivery.arrival)

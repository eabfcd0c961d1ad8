"""Admits one model's work, spreads it over the workers, and brings what they make to the loop.

Threads and asyncio meet here only, at two points: sequences go in through a worker's queue, and
all items of a step go to their collectors by one `call_soon_threadsafe`.
"""

import asyncio
import time
from collections.abc import Generator
from collections.abc import Sequence as Rows
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import msgspec
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
        now = time.monotonic()
        self._admit(len(rows), deadline, now)
        self._idle.clear()
        alone = len(rows) == 1 and not self._in_flight
        places = [self._take_place(row, alone=alone) for row in rows]
        collector = Collector(
            len(rows),
            on_row_done=lambda key: self._leave_place(places[key], rows[key]),
            loop=self._loop,
        )
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
        self._closing = True
        for worker, lane in zip(self._workers, self._lanes, strict=True):
            ended = asyncio.Event()
            worker.end(lane, ended=partial(self._tell, ended))
            await ended.wait()
        await asyncio.sleep(0)  # let the last deliveries run

    def _admit(self, num_rows: int, deadline: float | None, now: float) -> None:
        if self._closing:
            raise Draining(f"model {self._name} is being replaced or shut down")
        if self.in_flight + num_rows > self._config.max_queue:
            self._shed.labels(reason="queue_full").inc()
            raise QueueFull(
                f"{self.in_flight} sequences are waiting for {self._name}; "
                f"RECUR_MAX_QUEUE allows {self._config.max_queue}",
                details={"limit": self._config.max_queue},
            )
        if deadline is not None and deadline <= now:
            self._shed.labels(reason="deadline").inc()
            raise DeadlineExceeded("the deadline passed before the work was queued")

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
        self._in_flight += 1
        return place

    def _is_for_loop(self, steps: int, *, alone: bool) -> bool:
        if steps == 1:
            return self._steps_on_loop
        return alone and self._cost.seconds(1, steps) <= _SHORT_SECONDS

    def _leave_place(self, place: int, row: Row) -> None:
        self._loads[place].add(row, -1)
        self._in_flight -= 1
        if not self._in_flight:
            self._idle.set()

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


def _hand_out(deliveries: list[Delivery]) -> None:
    for delivery in deliveries:
        delivery.collector.put(delivery.arrival)

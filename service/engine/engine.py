"""Admits work, spreads it over the workers' threads, and brings what they make to the event loop.

Threads and asyncio meet here only, at two points: sequences go in through a worker's queue, and
after each step one `call_soon_threadsafe` hands all its items to their collectors.
"""

import asyncio
import time
from collections.abc import Generator
from collections.abc import Sequence as Rows
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from numpy.typing import NDArray

from service.engine.collector import Collector
from service.engine.scheduler import Scheduler, SchedulerConfig
from service.engine.sequence import Continuation, Sequence
from service.engine.worker import Delivery, Worker
from service.errors import DeadlineExceeded, Draining, QueueFull
from service.runtime.base import Runtime, State
from service.telemetry.metrics import Metrics

_SHORT_STEPS = 4


@dataclass(frozen=True, slots=True)
class EngineConfig:
    scheduler: SchedulerConfig = field(default_factory=SchedulerConfig)
    num_workers: int = 1
    """Threads that step a model's rows side by side; each makes batches of its own."""
    max_queue: int = 4096
    """Sequences that one model has admitted and not yet answered."""


@dataclass(frozen=True, slots=True)
class Row:
    """One row of a call: what to feed from which state, and what to do with the outputs."""

    inputs: NDArray[Any]
    """`[steps, ...]`, at least one step."""
    state: State
    continuation: Continuation


class Engine:
    """Steps one model's sequences. Created, used and closed on one event loop."""

    def __init__(
        self, runtime: Runtime, config: EngineConfig, *, name: str, whole: bool, metrics: Metrics
    ) -> None:
        self._config = config
        self._loop = asyncio.get_running_loop()
        self._name = name
        self._shed = metrics.shed
        self._idle = asyncio.Event()
        self._idle.set()
        self._closing = False
        self._num_holders = 0
        self._workers = [
            Worker(
                runtime,
                Scheduler(config.scheduler, whole=whole),
                name=name,
                deliver=self._deliver,
                metrics=metrics,
            )
            for _ in range(config.num_workers)
        ]
        self._loads = [0] * config.num_workers
        """Sequences that each worker has and has not answered."""

    @property
    def in_flight(self) -> int:
        """Sequences admitted and not yet answered."""
        return sum(self._loads)

    @property
    def in_use(self) -> bool:
        """Whether something is in flight, or someone holds it for more to come."""
        return self._num_holders > 0 or self.in_flight > 0

    @contextmanager
    def hold(self) -> Generator[None]:
        """Keeps the engine from being replaced between two pieces of the same work."""
        self._num_holders += 1
        try:
            yield
        finally:
            self._num_holders -= 1

    def submit(self, rows: Rows[Row], *, deadline: float | None) -> Collector:
        """Queue all rows, or none. Raises QueueFull, Draining, DeadlineExceeded."""
        if self._closing:
            raise Draining(f"model {self._name} is being replaced or shut down")
        if self.in_flight + len(rows) > self._config.max_queue:
            self._shed.labels(reason="queue_full").inc()
            raise QueueFull(
                f"{self.in_flight} sequences are waiting for {self._name}; "
                f"RECUR_MAX_QUEUE allows {self._config.max_queue}",
                details={"limit": self._config.max_queue},
            )
        now = time.monotonic()
        if deadline is not None and deadline <= now:
            self._shed.labels(reason="deadline").inc()
            raise DeadlineExceeded("the deadline passed before the work was queued")
        self._idle.clear()
        places = [self._take_place(row) for row in rows]
        collector = Collector(len(rows), on_row_done=lambda key: self._leave_place(places[key]))
        shares: list[list[Sequence]] = [[] for _ in self._workers]
        for key, row in enumerate(rows):
            shares[places[key]].append(
                Sequence(
                    row.inputs,
                    row.state,
                    row.continuation,
                    collector,
                    arrived=now,
                    key=key,
                    deadline=deadline,
                )
            )
        for worker, share in zip(self._workers, shares, strict=True):
            if share:
                worker.put(share)
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
        """End the threads; what is still in flight fails with Draining. Idempotent."""
        self._closing = True
        for worker in self._workers:
            worker.end()
        for worker in self._workers:
            await asyncio.to_thread(worker.join)
        await asyncio.sleep(0)  # let the last deliveries run

    def _take_place(self, row: Row) -> int:
        """A worker for the row: the one with the fewest, if the row brings it enough to do.

        Rows of a step or two share the first worker's batches: apart they would cost more than a
        second thread gains.
        """
        is_short = row.continuation.goes_on or len(row.inputs) < _SHORT_STEPS
        place = 0 if is_short else self._loads.index(min(self._loads))
        self._loads[place] += 1
        return place

    def _leave_place(self, place: int) -> None:
        self._loads[place] -= 1
        if not any(self._loads):
            self._idle.set()

    def _deliver(self, deliveries: list[Delivery]) -> None:
        """On a worker's thread."""
        self._loop.call_soon_threadsafe(_hand_out, deliveries)


def _hand_out(deliveries: list[Delivery]) -> None:
    for delivery in deliveries:
        delivery.collector.put(delivery.arrival)

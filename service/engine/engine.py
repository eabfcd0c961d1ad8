"""The engine's thread: the only place where threads and asyncio meet.

They meet at two points: sequences go in through a queue, and after each step one
`call_soon_threadsafe` hands all its items to their collectors on the event loop.
"""

import asyncio
import queue
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from collections.abc import Sequence as Rows
from dataclasses import dataclass, field
from typing import Any

import structlog
from numpy.typing import NDArray

from service.engine.collector import Arrival, Collector
from service.engine.scheduler import Batch, Scheduler, SchedulerConfig
from service.engine.sequence import Advance, Continuation, RowOutput, Sequence
from service.engine.step import StepResult, run_step
from service.errors import DeadlineExceeded, Draining, ModelFailed, QueueFull, RecurError
from service.runtime.base import Runtime, State
from service.telemetry.metrics import Metrics

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class EngineConfig:
    scheduler: SchedulerConfig = field(default_factory=SchedulerConfig)
    max_queue: int = 4096
    """Sequences that one model has admitted and not yet answered."""


@dataclass(frozen=True, slots=True)
class Row:
    """One row of a call: what to feed from which state, and what to do with the outputs."""

    inputs: NDArray[Any]
    """`[steps, ...]`, at least one step."""
    state: State
    continuation: Continuation


@dataclass(frozen=True, slots=True)
class _Delivery:
    collector: Collector
    arrival: Arrival


class Engine:
    """Steps one model's sequences. Created, used and closed on one event loop."""

    def __init__(
        self, runtime: Runtime, config: EngineConfig, *, name: str, whole: bool, metrics: Metrics
    ) -> None:
        self._runtime = runtime
        self._config = config
        self._scheduler = Scheduler(config.scheduler, whole=whole)
        self._inbox: queue.SimpleQueue[list[Sequence] | None] = queue.SimpleQueue()
        self._loop = asyncio.get_running_loop()
        self._observe = _Observer(metrics, name)
        self._name = name
        self._shed = metrics.shed
        self._in_flight = 0
        self._idle = asyncio.Event()
        self._idle.set()
        self._closing = False
        self._thread = threading.Thread(target=self._run, name=f"engine-{name}", daemon=True)
        self._thread.start()

    @property
    def in_flight(self) -> int:
        """Sequences admitted and not yet answered."""
        return self._in_flight

    def submit(self, rows: Rows[Row], *, deadline: float | None) -> Collector:
        """Queue all rows, or none. Raises QueueFull, Draining, DeadlineExceeded."""
        if self._closing:
            raise Draining(f"model {self._name} is being replaced or shut down")
        if self._in_flight + len(rows) > self._config.max_queue:
            self._shed.labels(reason="queue_full").inc()
            raise QueueFull(
                f"{self._in_flight} sequences are waiting for {self._name}; "
                f"RECUR_MAX_QUEUE allows {self._config.max_queue}",
                details={"limit": self._config.max_queue},
            )
        now = time.monotonic()
        if deadline is not None and deadline <= now:
            self._shed.labels(reason="deadline").inc()
            raise DeadlineExceeded("the deadline passed before the work was queued")
        self._in_flight += len(rows)
        self._idle.clear()
        collector = Collector(len(rows), on_rows_done=self._fewer)
        # In one piece, so that the thread does not set out with the first row alone.
        self._inbox.put(
            [
                Sequence(
                    row.inputs,
                    row.state,
                    row.continuation,
                    collector,
                    arrived=now,
                    key=key,
                    deadline=deadline,
                )
                for key, row in enumerate(rows)
            ]
        )
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
        """End the thread; what is still in flight fails with Draining. Idempotent."""
        self._closing = True
        self._inbox.put(None)
        await asyncio.to_thread(self._thread.join)
        await asyncio.sleep(0)  # let the last deliveries run

    def _fewer(self, num_rows: int) -> None:
        self._in_flight -= num_rows
        if self._in_flight == 0:
            self._idle.set()

    # On the engine's thread from here.

    def _run(self) -> None:
        scheduler = self._scheduler
        while self._take_in(wait=not scheduler):
            now = time.monotonic()
            expired = scheduler.expire(now)
            if expired:
                self._shed.labels(reason="deadline").inc(len(expired))
                error = DeadlineExceeded("the deadline passed before the answer was ready")
                self._deliver([_failure(s, error) for s in expired])
            batch = scheduler.next_batch(now)
            if batch is not None:
                self._deliver(self._step(batch, now))
        error = Draining("the server stopped before the work was done")
        self._deliver([_failure(s, error) for s in scheduler.clear()])

    def _take_in(self, *, wait: bool) -> bool:
        """Move the inbox into the scheduler; False when the engine is to end."""
        while True:
            try:
                sequences = self._inbox.get(block=wait)
            except queue.Empty:
                return True
            if sequences is None:
                return False
            for sequence in sequences:
                self._scheduler.add(sequence)
            wait = False

    def _step(self, batch: Batch, now: float) -> list[_Delivery]:
        """Run the batch. Whatever happens, each of its rows goes on or is answered."""
        self._observe.queued(batch, now)
        try:
            result = run_step(self._runtime, batch)
            self._observe.stepped(batch, result, time.monotonic() - now)
            advances = _accept(batch, result.rows)
        except Exception as error:  # noqa: BLE001 - the edge of the engine: its rows fail, it goes on
            _log.exception("step failed", model=self._name, rows=len(batch.rows))
            failure = error if isinstance(error, RecurError) else ModelFailed("the step failed")
            return [_failure(sequence, failure) for sequence in batch.rows]
        deliveries: list[_Delivery] = []
        unfinished: list[Sequence] = []
        for sequence, advance in zip(batch.rows, advances, strict=True):
            if advance.next_inputs is not None:
                sequence.go_on(advance.next_inputs)
            sequence.answered = advance.done or advance.error is not None
            if not sequence.answered:
                unfinished.append(sequence)
            if advance.item is not None or sequence.answered:
                arrival = Arrival(sequence.key, advance.item, advance.done, advance.error)
                deliveries.append(_Delivery(sequence.collector, arrival))
        self._scheduler.put_back(Batch(unfinished, batch.steps))
        return deliveries

    def _deliver(self, deliveries: list[_Delivery]) -> None:
        if deliveries:
            self._loop.call_soon_threadsafe(_hand_out, deliveries)


def _hand_out(deliveries: list[_Delivery]) -> None:
    for delivery in deliveries:
        delivery.collector.put(delivery.arrival)


def _failure(sequence: Sequence, error: RecurError) -> _Delivery:
    sequence.answered = True
    return _Delivery(sequence.collector, Arrival(sequence.key, None, done=True, error=error))


def _accept(batch: Batch, rows: list[RowOutput]) -> list[Advance]:
    """Ask each kind of continuation about all its rows at once; the order stays the batch's."""
    kinds: defaultdict[type[Continuation], list[int]] = defaultdict(list)
    for index, sequence in enumerate(batch.rows):
        kinds[type(sequence.continuation)].append(index)
    advances: list[Advance] = [Advance()] * len(rows)
    for kind, indices in kinds.items():
        mine = [(batch.rows[index].continuation, rows[index]) for index in indices]
        for index, advance in zip(indices, kind.accept(mine), strict=True):
            advances[index] = advance
    return advances


class _Observer:
    """The instruments of one engine, with the label looked up once."""

    def __init__(self, metrics: Metrics, model: str) -> None:
        self._queue: Callable[[float], None] = metrics.queue_seconds.labels(model=model).observe
        self._step: Callable[[float], None] = metrics.step_seconds.labels(model=model).observe
        self._rows: Callable[[float], None] = metrics.batch_rows.labels(model=model).observe
        self._steps: Callable[[float], None] = metrics.batch_steps.labels(model=model).observe
        self._padding: Callable[[float], None] = metrics.padding_ratio.labels(model=model).observe

    def queued(self, batch: Batch, now: float) -> None:
        for sequence in batch.rows:
            if not sequence.started:
                sequence.started = True
                self._queue(now - sequence.arrived)

    def stepped(self, batch: Batch, result: StepResult, seconds: float) -> None:
        self._step(seconds)
        self._rows(len(batch.rows))
        self._steps(batch.steps)
        self._padding(1.0 - result.useful_steps / (len(batch.rows) * batch.steps))

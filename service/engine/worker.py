"""One thread that steps: it owns a scheduler, and knows nothing of asyncio or of admission."""

import queue
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass

import structlog

from service.engine.collector import Arrival, Collector
from service.engine.scheduler import Batch, Scheduler
from service.engine.sequence import Advance, Continuation, RowOutput, Sequence
from service.engine.step import StepResult, run_step
from service.errors import DeadlineExceeded, Draining, ModelFailed, RecurError
from service.runtime.base import Runtime
from service.telemetry.metrics import Metrics

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Delivery:
    collector: Collector
    arrival: Arrival


class Worker:
    """`deliver` gets, after each step and on this thread, all that the step gave."""

    def __init__(
        self,
        runtime: Runtime,
        scheduler: Scheduler,
        *,
        name: str,
        deliver: Callable[[list[Delivery]], None],
        metrics: Metrics,
    ) -> None:
        self._runtime = runtime
        self._scheduler = scheduler
        self._name = name
        self._deliver_all = deliver
        self._inbox: queue.SimpleQueue[list[Sequence] | None] = queue.SimpleQueue()
        self._observe = _Observer(metrics, name)
        self._thread = threading.Thread(target=self._run, name=f"engine-{name}", daemon=True)
        self._thread.start()

    def put(self, sequences: list[Sequence]) -> None:
        """From any thread. In one piece, so that it does not set out with the first row alone."""
        self._inbox.put(sequences)

    def end(self) -> None:
        """From any thread. What still waits fails with Draining."""
        self._inbox.put(None)

    def join(self) -> None:
        self._thread.join()

    def _run(self) -> None:
        scheduler = self._scheduler
        while self._take_in(wait=not scheduler):
            now = time.monotonic()
            expired = scheduler.expire(now)
            if expired:
                self._observe.expired(len(expired))
                error = DeadlineExceeded("the deadline passed before the answer was ready")
                self._deliver([_failure(s, error) for s in expired])
            batch = scheduler.next_batch(now)
            if batch is not None:
                self._deliver(self._step(batch, now))
        error = Draining("the server stopped before the work was done")
        self._deliver([_failure(s, error) for s in scheduler.clear()])

    def _take_in(self, *, wait: bool) -> bool:
        """Move the inbox into the scheduler; False when the thread is to end."""
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

    def _step(self, batch: Batch, now: float) -> list[Delivery]:
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
        deliveries: list[Delivery] = []
        unfinished: list[Sequence] = []
        for sequence, advance in zip(batch.rows, advances, strict=True):
            if advance.next_inputs is not None:
                sequence.go_on(advance.next_inputs)
            sequence.answered = advance.done or advance.error is not None
            if not sequence.answered:
                unfinished.append(sequence)
            if advance.item is not None or sequence.answered:
                arrival = Arrival(sequence.key, advance.item, advance.done, advance.error)
                deliveries.append(Delivery(sequence.collector, arrival))
        self._scheduler.put_back(Batch(unfinished, batch.steps))
        return deliveries

    def _deliver(self, deliveries: list[Delivery]) -> None:
        if deliveries:
            self._deliver_all(deliveries)


def _failure(sequence: Sequence, error: RecurError) -> Delivery:
    sequence.answered = True
    return Delivery(sequence.collector, Arrival(sequence.key, None, done=True, error=error))


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
    """The instruments of one model, with the labels looked up once."""

    def __init__(self, metrics: Metrics, model: str) -> None:
        self._queue: Callable[[float], None] = metrics.queue_seconds.labels(model=model).observe
        self._step: Callable[[float], None] = metrics.step_seconds.labels(model=model).observe
        self._rows: Callable[[float], None] = metrics.batch_rows.labels(model=model).observe
        self._steps: Callable[[float], None] = metrics.batch_steps.labels(model=model).observe
        self._expired: Callable[[float], None] = metrics.shed.labels(reason="deadline").inc
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

    def expired(self, num_sequences: int) -> None:
        self._expired(num_sequences)

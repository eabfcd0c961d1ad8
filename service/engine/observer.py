"""The instruments of one model's engine, with their labels looked up once."""

from collections.abc import Callable

from service.engine.row_output import BatchOutput
from service.engine.scheduler import Batch
from service.telemetry.metrics import Metrics


class Observer:
    """Called on the workers' threads."""

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

    def stepped(self, batch: Batch, output: BatchOutput, seconds: float) -> None:
        self._step(seconds)
        self._rows(len(batch.rows))
        self._steps(batch.steps)
        self._padding(1.0 - int(output.lengths.sum()) / (len(batch.rows) * batch.steps))

    def expired(self, num_sequences: int) -> None:
        self._expired(num_sequences)

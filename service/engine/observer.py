"""What one worker measures of one model, with the labels looked up once."""

from collections.abc import Callable

from service.engine.row_output import BatchOutput
from service.engine.scheduler import Batch
from service.telemetry.metrics import Metrics
from service.telemetry.tally import TallyHistogram


class Observer:
    """Of one of its lanes: called on that one's worker, and nowhere else."""

    def __init__(self, metrics: Metrics, model: str, *, writer: int) -> None:
        """`writer` is the worker's number."""

        def observe(histogram: TallyHistogram) -> Callable[[float], None]:
            return histogram.labels(model, writer=writer).observe

        self._queue = observe(metrics.queue_seconds)
        self._step = observe(metrics.step_seconds)
        self._rows = observe(metrics.batch_rows)
        self._steps = observe(metrics.batch_steps)
        self._padding = observe(metrics.padding_ratio)
        self._expired: Callable[[float], None] = metrics.shed.labels(reason="deadline").inc

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

"""Requests as they are counted, and all measurements as Prometheus reads them."""

from collections.abc import Callable
from functools import cache
from typing import NamedTuple

from prometheus_client.exposition import choose_encoder

from service.telemetry.metrics import Metrics


class Exposition(NamedTuple):
    """A text of measurements."""

    body: bytes
    content_type: str


class LocalTelemetry:
    """Keeps the measurements in this process."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        # Looked up once: finding an instrument by its labels costs more than using it.
        self._count = cache(self._counter)
        self._time = cache(self._timer)

    def observe(self, protocol: str, model: str, outcome: str, seconds: float) -> None:
        self._count(protocol, model, outcome)()
        self._time(protocol, model)(seconds)

    async def exposition(self, accept: str) -> Exposition:
        encode, content_type = choose_encoder(accept)
        return Exposition(encode(self._metrics.registry), content_type)

    def _counter(self, protocol: str, model: str, outcome: str) -> Callable[[], None]:
        return self._metrics.requests.labels(protocol, model, outcome).inc

    def _timer(self, protocol: str, model: str) -> Callable[[float], None]:
        return self._metrics.request_seconds.labels(protocol, model).observe

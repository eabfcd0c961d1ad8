"""Requests as they are counted, and all measurements as Prometheus reads them."""

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

    def observe(self, protocol: str, model: str, outcome: str, seconds: float) -> None:
        self._metrics.requests.labels(protocol, model, outcome).inc()
        self._metrics.request_seconds.labels(protocol, model).observe(seconds)

    async def exposition(self, accept: str) -> Exposition:
        encode, content_type = choose_encoder(accept)
        return Exposition(encode(self._metrics.registry), content_type)

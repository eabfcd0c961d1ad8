"""A registry that runs on a folder of small models, with what a test asks of it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry

from service.dataplane.plane import DataPlane
from service.dataplane.types import (
    DataPlaneLimits,
    OpenRequest,
    SearchRequest,
    StepReply,
    Written,
)
from service.engine.engine import EngineConfig
from service.registry.registry import Registry, RegistryConfig
from service.runtime.session import RuntimeConfig
from service.sessions.store.memory import MemoryStore, SessionsConfig
from service.telemetry.metrics import Metrics
from tests.service.dataplane.serving import call, column, predict_one, total_of
from tests.service.dataplane.translating import written

TOTAL = "running-total"


@dataclass
class Running:
    registry: Registry
    plane: DataPlane
    collectors: CollectorRegistry

    async def total(self, *values: float) -> float:
        it: Any = self
        return total_of(await predict_one(it, TOTAL, column(values)))

    async def translate(self, text: str, **search: Any) -> Written:
        predictions = await self.plane.predict(
            "babel", [text], call=call(), search=SearchRequest(**search)
        )
        (result,) = predictions.results
        return written(result)

    def open(self, session_id: str) -> int:
        request = OpenRequest(session_id=session_id)
        return self.plane.open_session(TOTAL, request, call=call()).version

    async def feed(self, session_id: str, *values: float) -> float:
        reply: StepReply = (await self.plane.feed(session_id, column(values), call=call())).reply
        return total_of(reply.prediction)

    def versions(self) -> dict[str, int]:
        return {model.manifest.name: model.manifest.version for model in self.plane.models()}

    def metric(self, name: str, **labels: str) -> float | None:
        return self.collectors.get_sample_value(f"recur_{name}", labels)


@asynccontextmanager
async def running(
    models_dir: Path, *, models: tuple[str, ...] = (), drain_seconds: float = 60.0, **runtime: Any
) -> AsyncIterator[Running]:
    """A registry that looks at the folder when the test says so."""
    collectors = CollectorRegistry()
    metrics = Metrics(collectors)
    sessions = MemoryStore(SessionsConfig(), metrics)
    registry = Registry(
        RegistryConfig(models_dir, models, poll_seconds=0, drain_seconds=drain_seconds),
        runtime=RuntimeConfig(**{"device": "cpu"} | runtime),
        engine=EngineConfig(),
        sessions=sessions,
        metrics=metrics,
    )
    plane = DataPlane(registry, sessions, limits=DataPlaneLimits(), metrics=metrics)
    try:
        await registry.refresh()
        yield Running(registry, plane, collectors)
    finally:
        await registry.close(timeout_seconds=1)


async def until_drained(it: Running, version: int) -> None:
    """Until the version's engine has ended; the test's own timeout ends a hang."""
    while it.metric("model_info", **model_info(version)) is not None:  # noqa: ASYNC110 - a metric, no event
        await asyncio.sleep(0.01)


def model_info(version: int) -> dict[str, str]:
    return {"model": TOTAL, "version": str(version), "task": "forecasting", "device": "cpu"}

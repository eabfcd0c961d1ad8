"""The only wiring: settings become objects, objects become one application."""

import asyncio
import gc
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import structlog
from fastapi import FastAPI
from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector

from service.dataplane.plane import DataPlane
from service.protocols.auth import Authenticator
from service.protocols.health import Health, HealthState
from service.protocols.http import create_http_app
from service.registry.registry import Registry
from service.sessions.store.memory import MemoryStore
from service.settings import Settings
from service.telemetry.metrics import Metrics

_log = structlog.get_logger(__name__)
_SWEEP_SECONDS = 2.0
_YOUNG_OBJECTS = 10_000
"""New objects between two looks of the collector; its default of 700 is ten requests' worth."""


@dataclass(slots=True)
class Service:
    """What runs, and what the process needs to start and stop it."""

    registry: Registry
    sessions: MemoryStore
    health: Health
    grace_seconds: float
    app: FastAPI = field(init=False)
    failed: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when the service cannot go on; the log says why."""

    @asynccontextmanager
    async def lifespan(self, _: FastAPI) -> AsyncGenerator[None]:
        tasks = [asyncio.create_task(self._load_models()), asyncio.create_task(self._sweep())]
        for task in tasks:
            task.add_done_callback(self._give_up_on_failure)
        try:
            yield
        finally:
            self.health.state = HealthState.DRAINING
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await self.registry.close(timeout_seconds=1.0)

    async def drain(self) -> None:
        """Refuse new work, and wait for what is in flight, as long as the grace lasts."""
        self.health.state = HealthState.DRAINING
        _log.info("drain began", in_flight=self.registry.in_flight)
        try:
            async with asyncio.timeout(self.grace_seconds):
                while self.registry.in_flight:  # noqa: ASYNC110 - of several engines
                    await asyncio.sleep(0.02)
        except TimeoutError:
            _log.warning("grace period ended", in_flight=self.registry.in_flight)

    async def _load_models(self) -> None:
        await self.registry.refresh()
        _spare_the_collector()
        # One model that is refused leaves the service not ready, but serving the others.
        if self.health.state is HealthState.STARTING:
            self.health.state = HealthState.READY
        _log.info("service started", models=self.registry.readiness())
        await self.registry.poll()

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(_SWEEP_SECONDS)
            self.sessions.sweep()

    def _give_up_on_failure(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.error("service failed", reason=str(error), exc_info=error)
            self.failed.set()


def _spare_the_collector() -> None:
    """What stands now stands for good: looking it through again cost each request a quarter."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(_YOUNG_OBJECTS, 20, 20)


def build(settings: Settings) -> Service:
    """Wire everything; nothing runs yet."""
    collectors = CollectorRegistry()
    ProcessCollector(registry=collectors)
    PlatformCollector(registry=collectors)
    GCCollector(registry=collectors)
    metrics = Metrics(collectors)
    sessions = MemoryStore(settings.sessions(), metrics)
    registry = Registry(
        settings.registry(),
        runtime=settings.runtime(),
        engine=settings.engine(),
        sessions=sessions,
        metrics=metrics,
    )
    keys = settings.tenant_keys()
    if not keys:
        _log.warning("service is open", reason="RECUR_API_KEYS is empty: no request needs a key")
    health = Health(registry.readiness)
    service = Service(registry, sessions, health, settings.grace_seconds)
    service.app = create_http_app(
        DataPlane(registry, sessions, limits=settings.limits(), metrics=metrics),
        auth=Authenticator(keys),
        health=health,
        metrics=metrics,
        config=settings.http(),
        lifespan=service.lifespan,
    )
    return service

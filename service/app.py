"""The only wiring: settings become objects, objects become one application."""

import asyncio
import gc
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import structlog
from fastapi import FastAPI
from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector

from service.dataplane.in_process import InProcess
from service.dataplane.plane import DataPlane
from service.heap import keep_trimmed
from service.protocols.auth import Authenticator
from service.protocols.health import Health, HealthState
from service.protocols.http import create_http_app
from service.registry.registry import Registry
from service.remote.fronts import Fronts
from service.remote.host import Host, StreamVerb, Verb
from service.remote.messages import Status
from service.sessions.store.memory import MemoryStore
from service.settings import Settings
from service.telemetry.lag import watch_lag
from service.telemetry.metrics import Metrics
from service.telemetry.processes import FrontProcesses
from service.telemetry.requests import LocalTelemetry

_log = structlog.get_logger(__name__)
_SWEEP_SECONDS = 2.0
_YOUNG_OBJECTS = 10_000
"""New objects between two looks of the collector; its default of 700 is ten requests' worth."""


@dataclass(slots=True)
class Service:
    """What runs, and what the process needs to start and stop it."""

    registry: Registry
    sessions: MemoryStore
    verbs: InProcess
    telemetry: LocalTelemetry
    health: Health
    metrics: Metrics
    grace_seconds: float
    failed: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when the service cannot go on; the log says why."""
    on_change: Callable[[], None] = lambda: None
    """Called when the models or the health have changed."""

    @asynccontextmanager
    async def running(self, _: object = None) -> AsyncGenerator[None]:
        works = (
            self._load_models(),
            self._sweep(),
            watch_lag(self.metrics.event_loop_lag_seconds.labels()),
            keep_trimmed(),
        )
        tasks = [asyncio.create_task(work) for work in works]
        for task in tasks:
            task.add_done_callback(self._give_up_on_failure)
        try:
            yield
        finally:
            self._enter(HealthState.DRAINING)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await self.registry.close(timeout_seconds=1.0)

    async def drain(self) -> None:
        """Refuse new work, and wait for what is in flight, as long as the grace lasts."""
        self._enter(HealthState.DRAINING)
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
            self._enter(HealthState.READY)
        _log.info("service started", models=self.registry.readiness())
        await self.registry.poll()

    def _enter(self, state: HealthState) -> None:
        self.health.state = state
        self.on_change()

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
    """Wire all but the ways in; nothing runs yet."""
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
        on_change=lambda: service.on_change(),
    )
    service = Service(
        registry,
        sessions,
        InProcess(DataPlane(registry, sessions, limits=settings.limits(), metrics=metrics)),
        LocalTelemetry(metrics),
        Health(registry.readiness),
        metrics,
        settings.grace_seconds,
    )
    if not settings.tenant_keys():
        _log.warning("service is open", reason="RECUR_API_KEYS is empty: no request needs a key")
    return service


def http_app(service: Service, settings: Settings) -> FastAPI:
    """The way in of a service that is one process; the service runs while the application does."""
    return create_http_app(
        service.verbs,
        auth=Authenticator(settings.tenant_keys()),
        health=service.health,
        telemetry=service.telemetry,
        config=settings.http(),
        lifespan=service.running,
    )


def front_processes(service: Service, settings: Settings) -> Fronts:
    """The ways in of a service whose HTTP is spoken by processes of their own."""
    do, telemetry = service.verbs, service.telemetry
    verbs: dict[str, Verb] = {
        "predict": do.predict,
        "feed": do.feed,
        "feed_many": do.feed_many,
        "open_session": do.open_session,
        "fork_session": do.fork_session,
        "session": do.session,
        "sessions": do.sessions,
        "end_session": do.end_session,
        "exposition": telemetry.exposition,
    }
    streams: dict[str, StreamVerb] = {
        "generate": do.generate,
        "session_generate": do.session_generate,
    }

    def status() -> Status:
        return Status(service.health.state, service.registry.readiness(), do.models())

    fronts = Fronts(
        count=settings.http_workers,
        address=(settings.host, settings.port),
        connect=lambda on_lost: Host(
            verbs=verbs,
            streams=streams,
            observe=telemetry.observe,
            status=status,
            on_lost=on_lost,
        ),
        on_failure=service.failed.set,
    )
    service.on_change = fronts.announce
    FrontProcesses(lambda: fronts.pids, registry=service.metrics.registry)
    return fronts

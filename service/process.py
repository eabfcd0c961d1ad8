"""The process: reads the settings, serves until told to stop, leaves with an honest status."""

import asyncio
import signal
import sys
import time
from types import FrameType

import structlog
import uvicorn
import uvloop

from service.app import Service, build, front_processes, http_app
from service.protocols.wire import uvicorn_config
from service.settings import Settings, SettingsError, read_settings, unknown_variables
from service.telemetry.logging import configure_logging

_log = structlog.get_logger(__name__)

_SWITCH_SECONDS = 0.0005
"""How long a thread that wants the interpreter's lock waits before it asks for it. An engine's
thread asks after every call of the runtime, and at Python's 5 ms it stands idle beside a busy loop:
a sixth fewer predictions."""


class _Server(uvicorn.Server):
    """Drains before it stops: while work is in flight, the port stays open and says not ready."""

    def __init__(self, config: uvicorn.Config, service: Service) -> None:
        super().__init__(config)
        self._service = service
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopping: asyncio.Task[None] | None = None

    async def serve_until_stopped(self) -> bool:
        """Whether it ended because it was asked to."""
        self._loop = asyncio.get_running_loop()
        watch = asyncio.create_task(self._stop_on_failure())
        await self.serve()
        watch.cancel()
        return not self._service.failed.is_set()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        if self._stopping is not None or self._loop is None:
            self.force_exit = True
            self.should_exit = True
            return
        # A signal handler runs between any two instructions: only hand over to the loop.
        self._loop.call_soon_threadsafe(self._begin_stop)

    def _begin_stop(self) -> None:
        if self._stopping is None:
            self._stopping = asyncio.create_task(self._drain_and_stop())

    async def _drain_and_stop(self) -> None:
        began = time.monotonic()
        await self._service.drain()
        left = self._service.grace_seconds - (time.monotonic() - began)
        self.config.timeout_graceful_shutdown = max(1, int(left))
        self.should_exit = True

    async def _stop_on_failure(self) -> None:
        await self._service.failed.wait()
        self.should_exit = True


def main() -> int:
    try:
        settings = read_settings()
    except SettingsError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    sys.setswitchinterval(_SWITCH_SECONDS)
    configure_logging(level=settings.log_level, renderer=settings.log_format)
    for name in unknown_variables():
        _log.warning("unknown setting ignored", variable=name)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return 0 if runner.run(_serve(settings)) else 1


async def _serve(settings: Settings) -> bool:
    """Whether it ended because it was asked to."""
    service = build(settings)
    if settings.http_workers:
        return await _Conductor(service, settings).run()
    config = uvicorn_config(
        http_app(service, settings),
        max_frame_bytes=settings.max_body_bytes,
        lifespan="on",
        address=(settings.host, settings.port),
    )
    return await _Server(config, service).serve_until_stopped()


class _Conductor:
    """The engine's process where others speak HTTP: it starts them, and drains before they end."""

    def __init__(self, service: Service, settings: Settings) -> None:
        self._service = service
        self._fronts = front_processes(service, settings)
        self._stop = asyncio.Event()
        self._drain: asyncio.Task[None] | None = None

    async def run(self) -> bool:
        """Whether it ended because it was asked to."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._on_signal)
        service = self._service
        async with service.running():
            try:
                await self._fronts.start()
            except OSError as error:
                _log.error("service failed", reason=f"the address cannot be had: {error}")
                return False
            stopping = [asyncio.create_task(e.wait()) for e in (self._stop, service.failed)]
            await asyncio.wait(stopping, return_when=asyncio.FIRST_COMPLETED)
            for task in stopping:
                task.cancel()
            began = time.monotonic()
            if not service.failed.is_set():
                self._drain = asyncio.create_task(service.drain())
                await asyncio.wait([self._drain])
            left = service.grace_seconds - (time.monotonic() - began)
            await self._fronts.end(max(1.0, left))
        return not service.failed.is_set()

    def _on_signal(self) -> None:
        """Asked once it drains, asked twice it loses its patience."""
        if self._drain is not None:
            self._drain.cancel()
        self._stop.set()

"""`python -m service.front`: a process that parses and writes, and asks the engine's for the rest.

Started by the service itself, with a socket to it, never by hand. It has no models and no sessions.
"""

import asyncio
import gc
import signal
import socket
import sys
from types import FrameType

import structlog
import uvicorn
import uvloop

from service.heap import keep_trimmed
from service.protocols.auth import Authenticator
from service.protocols.health import Health, HealthState
from service.protocols.http import create_http_app
from service.protocols.wire import uvicorn_config
from service.remote.link import Link
from service.remote.messages import Message, Seen, Status, Stop
from service.remote.plane import RemotePlane
from service.settings import Settings, read_settings
from service.telemetry.logging import configure_logging
from service.telemetry.requests import Exposition

_log = structlog.get_logger(__name__)


class FrontProcess:
    """Follows the engine's process in everything: readiness, draining, end."""

    def __init__(self, settings: Settings) -> None:
        self.plane = RemotePlane()
        self._readiness: dict[str, str] = {}
        self.health = Health(lambda: self._readiness)
        app = create_http_app(
            self.plane,
            auth=Authenticator(settings.tenant_keys()),
            health=self.health,
            telemetry=self,
            config=settings.http(),
        )
        config = uvicorn_config(
            app,
            max_frame_bytes=settings.max_body_bytes,
            lifespan="off",
            grace_seconds=max(1, int(settings.grace_seconds)),
        )
        self._server = _Server(config)
        self._link: Link | None = None
        self._told_to_stop = False

    async def run(self, link_socket: socket.socket, address: tuple[str, int]) -> bool:
        """Until the engine's process says so, or is gone; whether it said so."""
        link = Link(on_messages=self._receive, on_lost=self._lose)
        self._link = self.plane.link = link
        await asyncio.get_running_loop().create_connection(lambda: link, sock=link_socket)
        gc.freeze()
        trimming = asyncio.create_task(keep_trimmed())
        await self._server.serve(sockets=[_share(address)])
        trimming.cancel()
        link.close()
        return self._told_to_stop

    def observe(self, protocol: str, model: str, outcome: str, seconds: float) -> None:
        if self._link is not None:
            self._link.send(Seen(protocol, model, outcome, seconds))

    async def exposition(self, accept: str) -> Exposition:
        return Exposition(*await self.plane.exposition(accept))

    def _receive(self, messages: list[Message]) -> None:
        for message in messages:
            match message:
                case Status(state, readiness, models):
                    self.health.state = HealthState(state)
                    self._readiness = readiness
                    self.plane.serve(models)
                case Stop():
                    self._told_to_stop = True
                    self._server.should_exit = True
                case _:
                    self.plane.receive(message)

    def _lose(self) -> None:
        self.plane.lose()
        if not self._told_to_stop:
            _log.error("engine lost")
            self._server.should_exit = True


class _Server(uvicorn.Server):
    """Signals are for the engine's process, which says when to stop."""

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        if sig == signal.SIGTERM:
            self.should_exit = True


def _share(address: tuple[str, int]) -> socket.socket:
    """A socket on the port that all fronts listen on."""
    family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
    shared = socket.socket(family)
    shared.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    shared.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    shared.bind(address)
    return shared


def main(link: str, host: str, port: str) -> int:
    settings = read_settings()
    configure_logging(level=settings.log_level, renderer=settings.log_format)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        link_socket = socket.socket(fileno=int(link))
        link_socket.setblocking(False)
        stopped = runner.run(FrontProcess(settings).run(link_socket, (host, int(port))))
    return 0 if stopped else 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))

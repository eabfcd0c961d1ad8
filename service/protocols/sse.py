"""Server-sent events: a stream of values becomes a response that ends when it ends.

It writes what is ready in one go, says so when something fails midway, breaks long silences with
a comment, and stops the work as soon as its client is gone.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

import structlog
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from service.errors import Cancelled, RecurError
from service.protocols.exchange import exchange_of
from service.protocols.presence import close, while_connected
from service.protocols.reply import to_json
from service.protocols.status import InternalError, error_body

E = TypeVar("E")

PING = b": ping\n\n"
PING_SECONDS = 15.0
_MAX_WAITING = 32
"""Events read ahead of a slow client; beyond it the source waits, or merges."""

_log = structlog.get_logger(__name__)


def frame(data: bytes, *, event: str | None = None) -> bytes:
    """One event; `data` is one line."""
    name = b"event: " + event.encode() + b"\n" if event else b""
    return name + b"data: " + data + b"\n\n"


async def event_stream(
    receive: Receive, events: AsyncIterator[E], render: Callable[[E], bytes], *, ping_seconds: float
) -> Response:
    """A response that streams `events`. An error before the first of them is raised."""
    relay = Relay(events)
    try:
        first = await while_connected(receive, relay.next())
    except BaseException:
        await relay.close()
        raise
    return EventStream(relay, first, render, ping_seconds=ping_seconds)


class Relay(Generic[E]):
    """Iterates over `events` in one task from the first to the last, whoever takes them."""

    def __init__(self, events: AsyncIterator[E]) -> None:
        self._waiting: asyncio.Queue[E | _End] = asyncio.Queue(_MAX_WAITING)
        self._end: _End | None = None
        self._task = asyncio.create_task(self._run(events))

    async def next(self) -> list[E]:
        """All events that are ready, at least one; none at the end. Raises what broke them off."""
        ready: list[E] = []
        while self._end is None and not (ready and self._waiting.empty()):
            event = await self._waiting.get()
            if isinstance(event, _End):
                self._end = event
            else:
                ready.append(event)
        if self._end is not None and self._end.error is not None and not ready:
            raise self._end.error
        return ready

    async def close(self) -> None:
        """Stops the source and waits until it has stopped."""
        self._task.cancel()
        await asyncio.wait([self._task])

    async def _run(self, events: AsyncIterator[E]) -> None:
        end = _End(None)
        try:
            async for event in events:
                await self._waiting.put(event)
        except RecurError as error:
            end = _End(error)
        except Exception:  # noqa: BLE001 - the edge of a process: the client must hear of it
            _log.exception("stream failed")
            end = _End(InternalError("the server failed; its log has the details"))
        finally:
            await close(events)
        await self._waiting.put(end)


class EventStream(Response, Generic[E]):
    """`first`, then whatever the relay brings."""

    media_type = "text/event-stream"

    def __init__(
        self,
        relay: Relay[E],
        first: list[E],
        render: Callable[[E], bytes],
        *,
        ping_seconds: float = PING_SECONDS,
    ) -> None:
        self.status_code = 200
        self.background = None
        self.init_headers({"Cache-Control": "no-cache", "X-Accel-Buffering": "no"})
        self._relay = relay
        self._first = first
        self._render = render
        self._ping_seconds = ping_seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        exchange = exchange_of(scope)
        try:
            await while_connected(receive, self._write(scope, send))
        except Cancelled as error:
            exchange.outcome = error.code
        finally:
            await self._relay.close()

    async def _write(self, scope: Scope, send: Send) -> None:
        head = {"type": "http.response.start", "status": self.status_code}
        await send(head | {"headers": self.raw_headers})
        events = self._first
        try:
            while events:
                await _send(send, b"".join(map(self._render, events)))
                events = await self._next(send)
        except RecurError as error:
            exchange_of(scope).outcome = error.code
            await _send(send, frame(to_json(error_body(error)), event="error"))
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _next(self, send: Send) -> list[E]:
        while True:
            try:
                async with asyncio.timeout(self._ping_seconds):
                    return await self._relay.next()
            except TimeoutError:
                await _send(send, PING)


@dataclass(frozen=True, slots=True)
class _End:
    error: RecurError | None


async def _send(send: Send, body: bytes) -> None:
    await send({"type": "http.response.body", "body": body, "more_body": True})

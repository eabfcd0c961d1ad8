"""Server-sent events: a stream of values becomes an answer that ends when it ends.

It writes what is ready in one go, says so when something fails midway, breaks long silences with
a comment, and stops the work as soon as its client is gone.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Generic, TypeVar

import structlog

from service.errors import RecurError
from service.protocols.exchange import Exchange
from service.protocols.presence import Presence, close
from service.protocols.reply import to_json
from service.protocols.status import InternalError, error_body

E = TypeVar("E")

PING = b": ping\n\n"
PING_SECONDS = 15.0

_HEADERS = (
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache"),
    (b"x-accel-buffering", b"no"),
)

_log = structlog.get_logger(__name__)


def frame(data: bytes, *, event: str | None = None) -> bytes:
    """One event; `data` is one line."""
    if event is None:
        return b"data: %b\n\n" % data
    return b"event: %b\ndata: %b\n\n" % (event.encode(), data)


class EventStream(Generic[E]):
    """Streams `events`, which come in lists of those that were ready together.

    One task takes them from the source and writes them, so that a slow client holds its source
    back. An error before the first of them is raised, and becomes a plain answer.
    """

    def __init__(
        self,
        events: AsyncIterator[list[E]],
        render: Callable[[E], bytes],
        *,
        presence: Presence,
        ping_seconds: float = PING_SECONDS,
    ) -> None:
        self._events = events
        self._render = render
        self._presence = presence
        self._ping_seconds = ping_seconds
        self._written_at = 0.0

    async def write(self, exchange: Exchange) -> None:
        try:
            await self._presence.while_connected(exchange.receive, self._write(exchange))
        except RecurError as error:
            if exchange.status is None:
                raise
            exchange.outcome = error.code  # of a client that is gone: nobody is to be told
        finally:
            await close(self._events)

    async def _write(self, exchange: Exchange) -> None:
        first = await anext(self._events)
        await exchange.begin(200, [*_HEADERS])
        pings = asyncio.create_task(self._break_silences(exchange))
        try:
            await self._send(exchange, first)
            async for events in self._events:
                await self._send(exchange, events)
        except RecurError as error:
            await self._fail(exchange, error)
        except Exception:  # noqa: BLE001 - the edge of a process: the client must hear of it
            _log.exception("stream failed")
            await self._fail(exchange, InternalError("the server failed; its log has the details"))
        finally:
            pings.cancel()
        await exchange.write(b"")

    async def _send(self, exchange: Exchange, events: list[E]) -> None:
        self._written_at = asyncio.get_running_loop().time()
        await exchange.write(b"".join(map(self._render, events)), more=True)

    async def _fail(self, exchange: Exchange, error: RecurError) -> None:
        exchange.outcome = error.code
        await exchange.write(frame(to_json(error_body(error)), event="error"), more=True)

    async def _break_silences(self, exchange: Exchange) -> None:
        loop = asyncio.get_running_loop()
        while True:
            silence = loop.time() - self._written_at
            if silence >= self._ping_seconds:
                self._written_at = loop.time()
                await exchange.write(PING, more=True)
            else:
                await asyncio.sleep(self._ping_seconds - silence)

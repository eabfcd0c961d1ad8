"""The engine's end of a front's link: does what it asks, and tells it how the service stands."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import aclosing
from typing import Any

import structlog

from service.errors import ModelFailed, RecurError
from service.remote.link import Link
from service.remote.messages import (
    Ask,
    Cancel,
    Events,
    Failure,
    Message,
    Result,
    Seen,
    Status,
    Taken,
)

_log = structlog.get_logger(__name__)

MAX_AHEAD = 64
"""Lists of events that a stream may be ahead of its reader; beyond it the engine's items merge."""

Verb = Callable[..., Awaitable[Any]]
StreamVerb = Callable[..., AsyncGenerator[list[Any]]]
Observe = Callable[[str, str, str, float], None]


class Host:
    """Of one front. `verbs` and `streams` are what it may ask for, by name."""

    def __init__(
        self,
        *,
        verbs: Mapping[str, Verb],
        streams: Mapping[str, StreamVerb],
        observe: Observe,
        status: Callable[[], Status],
        on_lost: Callable[["Host"], None],
    ) -> None:
        """`observe` counts an answered request: protocol, model, outcome, seconds."""
        self._verbs = verbs
        self._streams = streams
        self._observe = observe
        self._status = status
        self._on_lost = on_lost
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._ahead: dict[int, _Ahead] = {}
        self.link = Link(on_messages=self._receive, on_lost=self._lose)

    @property
    def num_asked(self) -> int:
        """Verbs under way."""
        return len(self._tasks)

    def announce(self) -> None:
        """Tell the front how the service stands now."""
        self.link.send(self._status())

    def _receive(self, messages: list[Message]) -> None:
        for message in messages:
            match message:
                case Ask() as ask:
                    self._tasks[ask.number] = self.link.loop.create_task(self._run(ask))
                case Cancel(number):
                    if (task := self._tasks.get(number)) is not None:
                        task.cancel()
                case Taken(number, count):
                    if (ahead := self._ahead.get(number)) is not None:
                        ahead.take(count)
                case Seen(protocol, model, outcome, seconds):
                    self._observe(protocol, model, outcome, seconds)
                case _:
                    raise AssertionError(f"nothing that a front says: {message}")

    async def _run(self, ask: Ask) -> None:
        """One ask to its end, which the front hears of, whatever it is."""
        number = ask.number
        try:
            if ask.verb in self._streams:
                await self._stream(ask)
            else:
                value = await self._verbs[ask.verb](*ask.args, **ask.named)
                self.link.send(Result(number, value))
        except RecurError as error:
            self.link.send(Failure(number, error))
        except Exception:  # noqa: BLE001 - the edge of a process: the front must hear of it
            _log.exception("verb failed", verb=ask.verb)
            self.link.send(Failure(number, ModelFailed("the engine's process failed; see its log")))
        finally:
            del self._tasks[number]

    async def _stream(self, ask: Ask) -> None:
        number = ask.number
        ahead = self._ahead[number] = _Ahead(self.link.loop)
        try:
            async with aclosing(self._streams[ask.verb](*ask.args, **ask.named)) as events:
                async for together in events:
                    self.link.send(Events(number, together))
                    await ahead.give()
            self.link.send(Events(number, []))
        finally:
            del self._ahead[number]

    def _lose(self) -> None:
        for task in self._tasks.values():
            task.cancel()
        self._on_lost(self)


class _Ahead:
    """How far a stream is ahead of its reader."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._count = 0
        self._waiter: asyncio.Future[None] | None = None

    async def give(self) -> None:
        self._count += 1
        while self._count >= MAX_AHEAD:
            self._waiter = self._loop.create_future()
            await self._waiter

    def take(self, count: int) -> None:
        self._count -= count
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

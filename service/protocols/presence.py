"""Work is done for a client that is there: when it leaves, the work is cancelled."""

import asyncio
from collections.abc import AsyncIterator, Awaitable
from typing import Any, TypeVar

from starlette.types import Receive

from service.errors import Cancelled

T = TypeVar("T")

LOOK_SECONDS = 0.01
"""About a step of an engine. Work that is done within one look is never watched at all."""


class Presence:
    """Watches over the clients of all requests under way, on one event loop.

    A watcher is a task, which costs a request as much as all of its parsing. So one timer looks
    after everyone, and only who still waits at its second look gets a watcher.
    """

    def __init__(self, *, look_seconds: float = LOOK_SECONDS) -> None:
        self._look_seconds = look_seconds
        self._new: set[_Visit] = set()
        self._seen: set[_Visit] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._timer: asyncio.TimerHandle | None = None

    async def while_connected(self, receive: Receive, work: Awaitable[T]) -> T:
        """The result of `work`. Raises Cancelled if the client leaves first.

        The body must have been read: every other message is ignored. `work` runs in the caller's
        own task, which a watcher cancels, as `asyncio.timeout` does. Whatever it had finished
        stays finished.
        """
        if self._loop is None:
            self._loop = asyncio.get_running_loop()
        # Given the loop, nobody asks the system for the process's id to find it.
        worker = asyncio.current_task(self._loop)
        assert worker is not None
        visit = _Visit(receive, worker)
        self._new.add(visit)
        if self._timer is None:
            self._timer = self._loop.call_later(self._look_seconds, self._look)
        already_cancelling = worker.cancelling()
        try:
            return await work
        except asyncio.CancelledError:
            if visit.client_left and worker.uncancel() <= already_cancelling:
                raise Cancelled("the client left before its answer") from None
            raise
        finally:
            self._new.discard(visit)
            self._seen.discard(visit)
            if visit.watcher is not None:
                visit.watcher.cancel()
                visit.watcher = None  # how it ended leads back to the visit, and to all it holds

    def _look(self) -> None:
        for visit in self._seen:
            visit.watcher = asyncio.create_task(visit.watch())
        self._new, self._seen = set(), self._new
        self._timer = None
        if self._seen:
            assert self._loop is not None
            self._timer = self._loop.call_later(self._look_seconds, self._look)


async def close(events: AsyncIterator[Any]) -> None:
    """Closes a generator now, rather than when it is collected: that is what stops its work."""
    aclose = getattr(events, "aclose", None)
    if aclose is not None:
        await aclose()


class _Visit:
    """A client that waits, and the task that works for it."""

    __slots__ = ("client_left", "receive", "watcher", "worker")

    def __init__(self, receive: Receive, worker: asyncio.Task[Any]) -> None:
        self.receive = receive
        self.worker = worker
        self.watcher: asyncio.Task[None] | None = None
        self.client_left = False

    async def watch(self) -> None:
        while (await self.receive())["type"] != "http.disconnect":
            continue
        self.client_left = True
        self.worker.cancel()

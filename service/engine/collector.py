"""Where the engine leaves what it made, for one waiting coroutine; merged while that is slow."""

import asyncio
from collections.abc import Callable
from typing import NamedTuple

from service.errors import RecurError


class Arrival(NamedTuple):
    """Something of row `key`. After `done` or an error, nothing more of that row comes."""

    key: int
    item: object | None
    done: bool
    error: RecurError | None = None


class Collector:
    """Of the rows of one call. Belongs to the event loop.

    `closed` is the one field that the engine's thread reads: it drops rows nobody waits for.
    """

    __slots__ = ("_arrivals", "_loop", "_on_row_done", "_open", "_patient", "_waiter", "closed")

    def __init__(
        self,
        num_rows: int,
        *,
        on_row_done: Callable[[int], None],
        loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        """`on_row_done` is called once for each key, when its row is answered or dropped."""
        self.closed = False
        self._open = set(range(num_rows))
        self._on_row_done = on_row_done
        self._loop = loop
        self._arrivals: list[Arrival] = []
        self._waiter: asyncio.Future[None] | None = None
        self._patient = False
        """Whether whoever waits does so for the end, and for nothing before it."""

    def put(self, arrival: Arrival) -> None:
        if self.closed:
            return
        self._arrivals.append(arrival)
        if arrival.done or arrival.error is not None:
            self._open.remove(arrival.key)
            self._on_row_done(arrival.key)
            self.closed = not self._open
        waiter = self._waiter
        if waiter is not None and (self.closed or not self._patient):
            self._waiter = None
            if not waiter.done():
                waiter.set_result(None)

    async def take(self) -> list[Arrival]:
        """What arrived since the last call, at least one; an empty list is the end."""
        if not self._arrivals and not self.closed:
            await self._wait(patient=False)
        arrivals, self._arrivals = self._arrivals, []
        return arrivals

    async def ends(self) -> list[object | RecurError]:
        """Wait for all rows, and give each one's last item or error, by key from 0."""
        if not self.closed:
            await self._wait(patient=True)
        ends = {key: error or item for key, item, _, error in await self.take()}
        return [ends[key] for key in sorted(ends)]

    def close(self) -> None:
        """Nobody waits any more: rows still under way are dropped at the next step. Idempotent."""
        if not self.closed:
            self.closed = True
            for key in self._open:
                self._on_row_done(key)

    async def _wait(self, *, patient: bool) -> None:
        self._patient = patient
        if self._loop is None:
            self._loop = asyncio.get_running_loop()
        self._waiter = self._loop.create_future()
        await self._waiter

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

    def __init__(self, num_rows: int, *, on_row_done: Callable[[int], None]) -> None:
        """`on_row_done` is called once for each key, when its row is answered or dropped."""
        self.closed = False
        self._open = set(range(num_rows))
        self._on_row_done = on_row_done
        self._arrivals: list[Arrival] = []
        self._waiter: asyncio.Future[None] | None = None

    def put(self, arrival: Arrival) -> None:
        if self.closed:
            return
        self._arrivals.append(arrival)
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
        if arrival.done or arrival.error is not None:
            self._open.remove(arrival.key)
            self._on_row_done(arrival.key)
            self.closed = not self._open

    async def take(self) -> list[Arrival]:
        """What arrived since the last call, at least one; an empty list is the end."""
        while not self._arrivals and not self.closed:
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter
        arrivals, self._arrivals = self._arrivals, []
        return arrivals

    async def ends(self) -> list[object | RecurError]:
        """Wait for all rows, and give each one's last item or error, by key from 0."""
        ends: dict[int, object | RecurError] = {}
        while arrivals := await self.take():
            for arrival in arrivals:
                ends[arrival.key] = arrival.error or arrival.item
        return [ends[key] for key in sorted(ends)]

    def close(self) -> None:
        """Nobody waits any more: rows still under way are dropped at the next step. Idempotent."""
        if not self.closed:
            self.closed = True
            for key in self._open:
                self._on_row_done(key)

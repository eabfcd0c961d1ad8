"""Work is done for a client that is there: when it leaves, the work is cancelled."""

import asyncio
from collections.abc import AsyncIterator, Awaitable
from typing import Any, TypeVar

from starlette.types import Receive

from service.errors import Cancelled

T = TypeVar("T")


async def while_connected(receive: Receive, work: Awaitable[T]) -> T:
    """The result of `work`. Raises Cancelled if the client leaves first.

    The body must have been read: every other message is ignored. `work` runs in the caller's own
    task, which a second one cancels, as `asyncio.timeout` does: one task more, no matter how long
    the work takes. Whatever it had finished stays finished.
    """
    worker = asyncio.current_task()
    assert worker is not None
    already_cancelling = worker.cancelling()
    watch = _Watch()
    watcher = asyncio.create_task(watch.run(receive, worker))
    try:
        return await work
    except asyncio.CancelledError:
        if watch.client_left and worker.uncancel() <= already_cancelling:
            raise Cancelled("the client left before its answer") from None
        raise
    finally:
        watcher.cancel()


async def close(events: AsyncIterator[Any]) -> None:
    """Closes a generator now, rather than when it is collected: that is what stops its work."""
    aclose = getattr(events, "aclose", None)
    if aclose is not None:
        await aclose()


class _Watch:
    client_left = False

    async def run(self, receive: Receive, worker: asyncio.Task[object]) -> None:
        while (await receive())["type"] != "http.disconnect":
            continue
        self.client_left = True
        worker.cancel()

"""Whose turn it is: first come, first served, and no cost where nobody waits."""

import asyncio
import time


class Turn:
    """Handed from one holder to the next; it is never free while somebody waits."""

    __slots__ = ("_taken", "_waiting")

    def __init__(self) -> None:
        self._taken = False
        self._waiting: list[asyncio.Future[None]] = []

    def take(self) -> bool:
        """Take it if it is free; whether it was."""
        if self._taken:
            return False
        self._taken = True
        return True

    async def wait(self, deadline: float | None) -> None:
        """Take it when all that came earlier are done. Raises TimeoutError.

        `deadline` is in seconds of `time.monotonic()`.
        """
        if self.take():
            return
        waiter = asyncio.get_running_loop().create_future()
        self._waiting.append(waiter)
        try:
            async with asyncio.timeout(None if deadline is None else deadline - time.monotonic()):
                await waiter
        except BaseException:
            if not waiter.cancelled():
                self.release()  # it was handed over just as its receiver left
            elif waiter in self._waiting:
                self._waiting.remove(waiter)
            raise

    def release(self) -> None:
        while self._waiting:
            waiter = self._waiting.pop(0)
            if not waiter.done():
                waiter.set_result(None)
                return
        self._taken = False

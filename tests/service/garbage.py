"""What only the collector would free: circles of objects that nobody holds any more.

It comes by seldom, so that whatever hangs on such a circle stays for minutes.
"""

import asyncio
import gc
from collections.abc import Awaitable, Callable

_TIMES = 20


async def garbage_of(work: Callable[[], Awaitable[object]]) -> int:
    """Objects in circles and held by them that each call leaves behind."""
    await work()  # what a first call makes stays for good
    gc.collect()
    gc.disable()
    try:
        for _ in range(_TIMES):
            await work()
        await asyncio.sleep(0)  # tasks that were cancelled come to their end
        return gc.collect() // _TIMES
    finally:
        gc.enable()

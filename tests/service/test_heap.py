"""Memory that is free is the system's again."""

import asyncio
import os
from pathlib import Path

from service.heap import keep_trimmed

MEGABYTES = 60
BLOCK_BYTES = 20_000
"""Too small for the C library to ask the system for each, too large for Python's own store."""


def resident_megabytes() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


async def test_memory_that_was_freed_below_what_is_in_use_goes_back_to_the_system():
    blocks = [b"x" * BLOCK_BYTES for _ in range(MEGABYTES * 1_000_000 // BLOCK_BYTES)]
    last = blocks.pop()
    blocks.clear()
    before = resident_megabytes()
    trimming = asyncio.create_task(keep_trimmed(period_seconds=0.001))
    async with asyncio.timeout(10):
        while resident_megabytes() > before - MEGABYTES / 2:  # noqa: ASYNC110 - of no event
            await asyncio.sleep(0.001)
    trimming.cancel()
    assert len(last) == BLOCK_BYTES  # it lay above all that was freed

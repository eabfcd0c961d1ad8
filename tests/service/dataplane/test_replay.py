"""Telling requests apart: by all that they say, however long that is."""

import asyncio

import numpy as np

from service.dataplane.replay import digest_of


async def test_requests_that_differ_anywhere_differ_in_their_digests() -> None:
    long = np.zeros(200_000, np.float32)
    other = long.copy()
    other[-1] = 1
    bodies = [b"", b"a", b"b", b"a" * 1000, b"a" * 999 + b"b", long, other]
    digests = [
        await digest_of(kind, options, body)
        for kind in (b"feed", b"generate")
        for options in (b"", b"raw")
        for body in bodies
    ]
    assert len(set(digests)) == len(digests)
    assert await digest_of(b"feed", b"raw", long.copy()) in digests
    assert await digest_of(b"feed", b"raw", long.tobytes()) in digests
    assert await digest_of(b"feed", b"", np.frombuffer(b"a", np.uint8)) in digests


async def test_the_loop_turns_while_a_long_chunk_is_told_apart() -> None:
    task = asyncio.create_task(digest_of(b"feed", b"", np.zeros((1 << 12, 1 << 11), np.float32)))
    turns = 0
    while not task.done():
        turns += 1
        await asyncio.sleep(0)
    # On the loop, it would be the two or three that a task takes.
    assert turns > 50

"""Frames of one client, read ahead of those that are answered: as many as the window holds.

Somebody must read while a frame is answered, or nobody hears that its client leaves.
"""

import asyncio
import time

import msgspec
from starlette.types import Message, Receive


class Frame(msgspec.Struct, frozen=True):
    """What a client sent in one go."""

    data: bytes
    is_text: bool
    arrived: float
    """In seconds of `time.monotonic()`."""


class Window:
    """`max_frames` wait at most, and no more bytes than `max_bytes` and one frame."""

    def __init__(self, receive: Receive, *, max_frames: int, max_bytes: int) -> None:
        self._receive = receive
        self._max_frames = max_frames
        self._max_bytes = max_bytes
        self._frames: asyncio.Queue[Frame] = asyncio.Queue()
        self._num_bytes = 0
        self._room = asyncio.Event()

    async def read(self) -> None:
        """Until the client has left. While the window is full nothing is read, and so not that."""
        while (message := await self._receive())["type"] == "websocket.receive":
            frame = _frame(message)
            self._num_bytes += len(frame.data)
            self._frames.put_nowait(frame)
            while self._is_full():
                self._room.clear()
                await self._room.wait()

    async def take(self) -> Frame:
        """The next one, once it is there."""
        frame = await self._frames.get()
        self._num_bytes -= len(frame.data)
        self._room.set()
        return frame

    def _is_full(self) -> bool:
        return self._frames.qsize() >= self._max_frames or self._num_bytes > self._max_bytes


def _frame(message: Message) -> Frame:
    data: bytes | None = message.get("bytes")
    if data is not None:
        return Frame(data, is_text=False, arrived=time.monotonic())
    return Frame(message["text"].encode(), is_text=True, arrived=time.monotonic())

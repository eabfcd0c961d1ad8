"""One end of the socket between two processes: what is said in one turn goes together."""

import asyncio
import struct
from collections.abc import Callable
from typing import cast

from service.remote.messages import Message, dumps, loads

_HEAD = struct.Struct("<I")
_MANY = 16
"""Messages that are written before the turn of the loop is over: the other end may begin."""


class Link(asyncio.Protocol):
    """`on_messages` gets what came together; `on_lost` is called once: the other end is gone."""

    def __init__(
        self, *, on_messages: Callable[[list[Message]], None], on_lost: Callable[[], None]
    ) -> None:
        self._on_messages = on_messages
        self._on_lost = on_lost
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._waiting: list[Message] = []
        self._received = bytearray()

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """To which it belongs."""
        return self._loop

    @property
    def lost(self) -> bool:
        return self._transport is None

    def send(self, message: Message) -> None:
        """At the end of this turn of the loop. To an end that is gone, it goes nowhere."""
        if not self._waiting:
            self._loop.call_soon(self.flush)
        self._waiting.append(message)
        if len(self._waiting) >= _MANY:
            self.flush()

    def flush(self) -> None:
        """Now, rather than at the end of the turn; nothing, where nothing waits."""
        messages, self._waiting = self._waiting, []
        if messages and self._transport is not None:
            data = dumps(messages)
            self._transport.write(_HEAD.pack(len(data)) + data)

    def close(self) -> None:
        """After what was sent has been written."""
        self.flush()
        if self._transport is not None:
            self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are none by their type, only by what they do.
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        received = self._received
        received += data
        start = 0
        while len(received) >= start + _HEAD.size:
            (size,) = _HEAD.unpack_from(received, start)
            end = start + _HEAD.size + size
            if len(received) < end:
                break
            messages = loads(bytes(received[start + _HEAD.size : end]))
            start = end
            self._on_messages(messages)
        del received[:start]

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._on_lost()

"""One keep-alive connection: sends bytes, says when the whole answer is there, reads no JSON."""

import asyncio
import re
import time
from collections.abc import Callable
from typing import cast

from tests.load.wire import Request

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_HEAD_END = b"\r\n\r\n"
_LAST_CHUNK = b"\r\n0\r\n\r\n"


class Connection(asyncio.Protocol):
    """Mutable: one exchange at a time; `on_answer` is called at the end of each."""

    def __init__(self, lane: int, on_answer: Callable[["Connection"], None]) -> None:
        self.lane = lane
        self.request: Request
        self.status = 0
        self.since = 0.0
        """When the request was due."""
        self.first_at = 0.0
        """When the first byte of the answer came: of a stream, its first event's."""
        self._on_answer = on_answer
        self._transport: asyncio.Transport | None = None
        self._busy = False
        self._parts: list[bytes] = []
        self._tail = b""
        self._missing: int | None = None

    def send(self, request: Request, *, since: float) -> None:
        self.request, self.since = request, since
        self.status, self._parts, self._tail, self._missing = 0, [], b"", None
        self._busy = True
        if self._transport is None:
            self._end(0)
        else:
            self._transport.write(request.data)

    @property
    def body(self) -> bytes:
        """Of the last answer; chunks of a stream as they came."""
        return b"".join(self._parts)

    def close(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        if self._busy:
            self._end(0)

    def data_received(self, data: bytes) -> None:
        if self.status == 0:
            self._parts.append(data)
            head, found, body = b"".join(self._parts).partition(_HEAD_END)
            if not found:
                return
            self.first_at = time.perf_counter()
            self.status = int(head[9:12])
            length = _LENGTH.search(head)
            self._missing = int(length[1]) if length else None
            self._parts = []
            data = body
        self._parts.append(data)
        if self._missing is not None:
            self._missing -= len(data)
            if self._missing <= 0:
                self._end(self.status)
            return
        self._tail = (self._tail + data)[-len(_LAST_CHUNK) :]
        if self._tail == _LAST_CHUNK:
            self._end(self.status)

    def _end(self, status: int) -> None:
        self._busy, self.status = False, status
        self._on_answer(self)

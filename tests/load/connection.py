"""One keep-alive connection: sends bytes, says when the whole answer is there, reads no JSON."""

import asyncio
import re
import time
from collections.abc import Callable
from typing import cast

from tests.load import websocket
from tests.load.wire import Request

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_HEAD_END = b"\r\n\r\n"
_LAST_CHUNK = b"\r\n0\r\n\r\n"
_EVENT_END = b"\n\n"


class Connection(asyncio.Protocol):
    """Mutable: one exchange at a time; `on_answer` is called at the end of each."""

    def __init__(self, lane: int) -> None:
        self.lane = lane
        self.on_answer: Callable[[Connection], None] = lambda _: None
        self.request: Request
        self.status = 0
        """Of the last answer; 0 where the connection broke."""
        self.head = b""
        """Of the last answer."""
        self.since = 0.0
        """When the request was due."""
        self.first_at = 0.0
        """When the answer's first event was whole, or the first byte of one that has none."""
        self.num_events = 0
        """Of the last answer, where it is a stream; whole ones so far."""
        self._transport: asyncio.Transport | None = None
        self.busy = False
        self._parts: list[bytes] = []
        self._tail = b""
        self._missing: int | None = None

    def send(self, request: Request, *, since: float) -> None:
        self.request, self.since = request, since
        self.status, self._parts, self._tail, self._missing = 0, [], b"", None
        self.first_at, self.num_events = 0.0, 0
        self.busy = True
        if self._transport is None:
            self._end(0)
        else:
            self._transport.write(request.data)

    async def ask(self, request: Request) -> bytes:
        """The body of the answer to one request, whatever its status."""
        answered = asyncio.get_running_loop().create_future()
        self.on_answer = answered.set_result
        self.send(request, since=time.perf_counter())
        await answered
        return self.body

    @property
    def body(self) -> bytes:
        """Of the last answer; chunks of a stream as they came."""
        return b"".join(self._parts)

    @property
    def is_open(self) -> bool:
        return self._transport is not None

    def close(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        if self.busy:
            self._end(0)

    def data_received(self, data: bytes) -> None:
        if self.status == 0:
            self._parts.append(data)
            head, found, data = b"".join(self._parts).partition(_HEAD_END)
            if not found:
                return
            self._read_head(head)
        self._parts.append(data)
        if self._missing is None:
            self._read_chunks(data)
        else:
            self._missing -= len(data)
            if self._missing <= 0:
                self._end(self.status)

    def _read_head(self, head: bytes) -> None:
        self.head, self.status = head, int(head[9:12])
        length = _LENGTH.search(head)
        self._parts = []
        if length:
            self._missing = int(length[1])
            self.first_at = time.perf_counter()

    def _read_chunks(self, data: bytes) -> None:
        # The end of an event may be cut in two; the last byte of the tail sees to that.
        whole = (self._tail[-1:] + data).count(_EVENT_END)
        if whole and not self.first_at:
            self.first_at = time.perf_counter()
        self.num_events += whole
        self._tail = (self._tail + data)[-len(_LAST_CHUNK) :]
        if self._tail == _LAST_CHUNK:
            self._end(self.status)

    def _end(self, status: int) -> None:
        self.busy, self.status = False, status
        self.on_answer(self)


class Socket(Connection):
    """A WebSocket once its first request, the handshake, is answered: a frame brings a frame."""

    def __init__(self, lane: int) -> None:
        super().__init__(lane)
        self._open = False
        self._unread = b""

    def data_received(self, data: bytes) -> None:
        self._unread += data
        if not self._open:
            head, found, self._unread = self._unread.partition(_HEAD_END)
            if not found:
                self._unread = head
                return
            self._open = True
            self._parts = [head]
            self._end(int(head[9:12]))
        while (frame := websocket.read(self._unread)) is not None:
            self._unread = self._unread[frame.size :]
            self._take(frame)

    def _take(self, frame: websocket.Frame) -> None:
        if frame.is_text:
            self.first_at = time.perf_counter()
            self._parts = [frame.content]
            self._end(200)
        elif frame.is_ping and self._transport is not None:
            self._transport.write(websocket.pong(frame))
        elif frame.is_close:
            self.close()

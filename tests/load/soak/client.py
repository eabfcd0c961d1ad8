"""A client that asks, one request at a time, over a connection that it keeps or breaks."""

import asyncio
import json
from dataclasses import dataclass
from typing import Any

from tests.load.connection import Connection, Socket
from tests.load.websocket import masked, upgrade
from tests.load.wire import Request, compact, request, unchunk

_PATIENCE_SECONDS = 60.0


class Unanswered(Exception):
    """A request got no answer, or not the one that it must get."""


@dataclass(frozen=True, slots=True)
class Reply:
    status: int
    head: bytes
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def is_replayed(self) -> bool:
        return b"recur-replayed: true" in self.head.lower()

    @property
    def error_code(self) -> str:
        return self.json()["error"]["code"]

    def events(self) -> list[dict[str, Any]]:
        lines = unchunk(self.body).decode().split("\n")
        return [json.loads(line[len("data:") :]) for line in lines if line.startswith("data:")]


class Client:
    """Mutable: its connection."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._connection: Connection | None = None
        self.num_asked = 0
        self.num_answered = 0
        self.num_left = 0

    async def ask(
        self, method: str, path: str, body: Any = None, *, expected: tuple[int, ...] = (200,)
    ) -> Reply:
        """Raises Unanswered where the status is another, or where there is none."""
        return await self.send(_bytes(method, path, body), expected=expected)

    async def send(self, data: bytes, *, expected: tuple[int, ...] = (200,)) -> Reply:
        return await self._exchange(await self._connected(), data, expected=expected)

    async def text(self, path: str) -> str:
        body = (await self.ask("GET", path)).body
        return body.decode()

    async def open_socket(self, path: str) -> Socket:
        """Its owner closes it."""
        loop = asyncio.get_running_loop()
        _, socket = await loop.create_connection(lambda: Socket(0), "127.0.0.1", self._port)
        await self._exchange(socket, upgrade(path), expected=(101,))
        return socket

    async def say(self, socket: Socket, body: Any) -> Any:
        """One frame for one frame."""
        return (await self._exchange(socket, masked(compact(body)), expected=(200,))).json()

    async def leave(self, method: str, path: str, body: Any, *, after_seconds: float) -> None:
        """Ask, and go away without waiting for the answer."""
        connection = await self._connected()
        self.num_left += 1
        connection.on_answer = lambda _: None
        connection.send(Request(_bytes(method, path, body)), since=0.0)
        await asyncio.sleep(after_seconds)
        self.close()

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    async def _exchange(
        self, connection: Connection, data: bytes, *, expected: tuple[int, ...]
    ) -> Reply:
        self.num_asked += 1
        try:
            async with asyncio.timeout(_PATIENCE_SECONDS):
                body = await connection.ask(Request(data))
        except TimeoutError:
            connection.close()
            raise Unanswered(f"{data[:60]!r}: nothing came") from None
        if connection.status == 0:
            raise Unanswered(f"{data[:60]!r}: the connection broke")
        self.num_answered += 1
        if connection.status not in expected:
            raise Unanswered(f"{data[:60]!r}: status {connection.status}: {body[:300]!r}")
        return Reply(connection.status, connection.head, body)

    async def _connected(self) -> Connection:
        await asyncio.sleep(0)  # hear first of a connection that was closed while nobody listened
        if self._connection is None or not self._connection.is_open:
            loop = asyncio.get_running_loop()
            _, self._connection = await loop.create_connection(
                lambda: Connection(0), "127.0.0.1", self._port
            )
        return self._connection


def _bytes(method: str, path: str, body: Any) -> bytes:
    return request(method, path, b"" if body is None else compact(body))

"""How uvicorn speaks here: an answer's head and the begin of its body go in one write.

A write is a system call, and it wakes the client: two of them cost a small answer as much as all
of its JSON.
"""

import asyncio
from typing import Any, Literal, cast

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

_HEAD = b"HTTP/1.1 "
_INTERIM = b"HTTP/1.1 100 "


def uvicorn_config(
    app: ASGIApp,
    *,
    max_frame_bytes: int,
    lifespan: Literal["on", "off"],
    address: tuple[str, int] = ("127.0.0.1", 0),
    grace_seconds: int | None = None,
) -> uvicorn.Config:
    """`address` is for a server that opens its own socket."""
    host, port = address
    return uvicorn.Config(
        app,
        host=host,
        port=port,
        http=HttpProtocol,
        ws=SocketProtocol,
        ws_max_size=max_frame_bytes,
        ws_per_message_deflate=False,  # numbers hardly shrink, and it costs more than their step
        access_log=False,
        log_config=None,
        server_header=False,
        proxy_headers=False,
        lifespan=lifespan,
        timeout_graceful_shutdown=grace_seconds,
    )


class HttpProtocol(HttpToolsProtocol):
    """Its transport keeps each head back until something follows it, or the answer is over."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._joining = _Joining(transport)
        super().connection_made(cast(asyncio.Transport, self._joining))

    def on_response_complete(self) -> None:
        self._joining.flush()
        super().on_response_complete()

    def handle_websocket_upgrade(self) -> None:
        self.transport = self._joining.inner
        super().handle_websocket_upgrade()
        # It leads back to this protocol, which nobody will tell that its connection is lost.
        del self.parser


class SocketProtocol(WebSocketsSansIOProtocol):
    """A handshake that was answered by an HTTP reply is complete: uvicorn logs it as an error."""

    async def send(self, message: Any) -> None:
        await super().send(message)
        if message["type"] == "websocket.http.response.body":
            self.handshake_complete = True


class _Joining:
    """A transport, as much of it as uvicorn uses for HTTP."""

    __slots__ = ("_head", "inner")

    def __init__(self, inner: Any) -> None:
        self.inner: asyncio.Transport = inner
        self._head = b""

    def write(self, data: bytes) -> None:
        if self._head:
            head, self._head = self._head, b""
            self.inner.write(head + data)
        elif data.startswith(_HEAD) and not data.startswith(_INTERIM):
            self._head = data
        else:
            self.inner.write(data)

    def flush(self) -> None:
        if self._head:
            self.write(b"")

    def close(self) -> None:
        self.flush()
        self.inner.close()

    def is_closing(self) -> bool:
        return self.inner.is_closing()

    def get_extra_info(self, name: str, default: object = None) -> Any:
        return self.inner.get_extra_info(name, default)

    def pause_reading(self) -> None:
        self.inner.pause_reading()

    def resume_reading(self) -> None:
        self.inner.resume_reading()

"""Just enough of RFC 6455 for a client that sends small text frames and reads small answers."""

import base64
from dataclasses import dataclass

_TEXT, _CLOSE, _PING, _PONG = 0x1, 0x8, 0x9, 0xA
_FINAL, _MASKED = 0x80, 0x80
_KEY = b"\x0d\x5a\x31\xc4"
"""Masks hide nothing; they need to be there (section 5.3)."""


@dataclass(frozen=True, slots=True)
class Frame:
    opcode: int
    content: bytes
    size: int
    """Of the whole frame, in bytes."""

    @property
    def is_text(self) -> bool:
        return self.opcode == _TEXT

    @property
    def is_close(self) -> bool:
        return self.opcode == _CLOSE

    @property
    def is_ping(self) -> bool:
        return self.opcode == _PING


def upgrade(path: str) -> bytes:
    """The handshake of a client (section 4.1)."""
    key = base64.b64encode(bytes(16)).decode()
    lines = [
        f"GET {path} HTTP/1.1",
        "Host: 127.0.0.1",
        "Upgrade: websocket",
        "Connection: Upgrade",
        f"Sec-WebSocket-Key: {key}",
        "Sec-WebSocket-Version: 13",
    ]
    return "\r\n".join([*lines, "", ""]).encode()


def masked(content: bytes, opcode: int = _TEXT) -> bytes:
    """A client's whole frame (section 5.2)."""
    size = len(content)
    if size < 126:
        length = bytes([_MASKED | size])
    elif size < 1 << 16:
        length = bytes([_MASKED | 126]) + size.to_bytes(2)
    else:
        length = bytes([_MASKED | 127]) + size.to_bytes(8)
    mask = (_KEY * (size // 4 + 1))[:size]
    hidden = int.from_bytes(content) ^ int.from_bytes(mask)
    return bytes([_FINAL | opcode]) + length + _KEY + hidden.to_bytes(size)


def pong(ping: Frame) -> bytes:
    return masked(ping.content, _PONG)


def read(data: bytes) -> Frame | None:
    """The server's frame that `data` begins with, once all of it is there."""
    if len(data) < 2:
        return None
    size, start = data[1], 2
    if size == 126:
        size, start = int.from_bytes(data[2:4]), 4
    elif size == 127:
        size, start = int.from_bytes(data[2:10]), 10
    if len(data) < start + size:
        return None
    assert data[0] & _FINAL, "no server here splits its messages"
    return Frame(data[0] & 0x0F, data[start : start + size], start + size)

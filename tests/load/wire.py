"""Requests as bytes, made before the clock starts, and what a protocol must know how to read."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Tokens = NDArray[np.int64]
Probabilities = NDArray[np.float64]
"""Of the classes, or of the labels of a step: `[outputs]`."""


@dataclass(frozen=True, slots=True)
class Request:
    """One request, ready to send, and what it asks: enough to check the answer."""

    data: bytes
    rows: tuple[Tokens, ...] = ()
    """Token ids of each row, `[time]`; none where no model runs."""
    num_tokens: int = 0
    """Tokens to generate; 0 where nothing is generated."""


class Wire(Protocol):
    """How one kind of server is asked, and how its answers are read (after the clock stopped)."""

    events_at_end: int
    """Events of a stream that bring no token."""

    def classify(self, tokens: Tokens) -> Request: ...
    def open(self, session: int) -> Request: ...
    def step(self, session: int, tokens: Tokens) -> Request: ...
    def generate(self, prompt: Tokens, num_tokens: int) -> Request: ...

    def probabilities(self, body: bytes) -> list[Probabilities]:
        """Of each row of a classification or a step."""
        ...

    def tokens(self, body: bytes) -> list[int]:
        """Of a stream, body as it came. Raises ValueError if it has no end."""
        ...


def request(
    method: str,
    path: str,
    content: bytes = b"",
    *,
    content_type: str = "application/json",
    headers: Sequence[str] = (),
) -> bytes:
    lines = [
        f"{method} {path} HTTP/1.1",
        "Host: 127.0.0.1",
        f"Content-Type: {content_type}",
        f"Content-Length: {len(content)}",
        *headers,
    ]
    return "\r\n".join([*lines, "", ""]).encode() + content


def post_json(path: str, body: Mapping[str, Any]) -> bytes:
    return request("POST", path, compact(body))


def compact(body: Mapping[str, Any]) -> bytes:
    return json.dumps(body, separators=(",", ":")).encode()


def events(body: bytes) -> list[dict[str, Any]]:
    """The data of each event of a chunked event stream."""
    lines = unchunk(body).decode().split("\n")
    return [json.loads(line.removeprefix("data:")) for line in lines if line.startswith("data:")]


def unchunk(body: bytes) -> bytes:
    """The content of a body in chunked transfer coding."""
    parts: list[bytes] = []
    while True:
        size, _, rest = body.partition(b"\r\n")
        length = int(size, 16)
        if length == 0:
            return b"".join(parts)
        parts.append(rest[:length])
        body = rest[length + 2 :]

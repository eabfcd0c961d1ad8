"""Requests as bytes, made before the clock starts; answers read after it has stopped."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

_DATA = "data:"


@dataclass(frozen=True, slots=True)
class Request:
    """One request, ready to send, and what it asks: enough to check the answer."""

    data: bytes
    inputs: NDArray[Any]
    """Token ids `[time]` or numbers `[time, features]`."""
    num_tokens: int = 0
    """Tokens to generate; 0 where nothing is generated."""
    seed: int | None = None
    """Of sampling; None takes the likeliest token."""


@dataclass(frozen=True, slots=True)
class Generated:
    text: str
    num_tokens: int
    num_events: int


def predict(model: str, inputs: NDArray[Any]) -> Request:
    body = {"inputs": [inputs.tolist()]}
    return Request(_post(f"/v1/models/{model}/predict", body), inputs)


def open_session(model: str, session_id: str) -> bytes:
    return _post(f"/v1/models/{model}/sessions", {"session_id": session_id})


def step(session_id: str, inputs: NDArray[Any]) -> Request:
    body = {"inputs": inputs.tolist()}
    return Request(_post(f"/v1/sessions/{session_id}/steps", body), inputs)


def generate(
    model: str, prompt: NDArray[np.int64], *, num_tokens: int, seed: int | None
) -> Request:
    """A stream of exactly `num_tokens`, unless the model ends it; at temperature 1 with a seed."""
    body = {"prompt": prompt.tolist(), "max_tokens": num_tokens, "top_k": 0, "top_p": 1.0}
    sampling = {"temperature": 0} if seed is None else {"temperature": 1.0, "seed": seed}
    data = _post(f"/v1/models/{model}/generate", body | sampling | {"stream": True})
    return Request(data, prompt, num_tokens, seed)


def read_generated(body: bytes) -> Generated:
    """The text of all events of a chunked event stream. Raises ValueError if it has no end."""
    texts: list[str] = []
    events = [line for line in _unchunk(body).decode().split("\n") if line.startswith(_DATA)]
    for event in events:
        fields = json.loads(event[len(_DATA) :])
        if "usage" in fields:
            return Generated("".join(texts), fields["usage"]["completion_tokens"], len(events))
        texts.append(fields["text"])
    raise ValueError(f"the stream ends with {body[-200:]!r}")


def _post(path: str, body: Mapping[str, Any]) -> bytes:
    content = json.dumps(body, separators=(",", ":")).encode()
    head = (
        f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(content)}\r\n\r\n"
    )
    return head.encode() + content


def _unchunk(body: bytes) -> bytes:
    parts: list[bytes] = []
    while True:
        size, _, rest = body.partition(b"\r\n")
        length = int(size, 16)
        if length == 0:
            return b"".join(parts)
        parts.append(rest[:length])
        body = rest[length + 2 :]

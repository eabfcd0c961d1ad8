"""The protocols spoken here: our own, that of the hand-written peers, tritonserver's."""

import json
from collections.abc import Sequence
from typing import Any

import numpy as np

from service.artifact.scores import softmax
from tests.load.models import CHARACTERS
from tests.load.websocket import masked, upgrade
from tests.load.wire import Probabilities, Request, Tokens, compact, events, post_json, request

_CLASSIFIER, _STEPS, _LANGUAGE = "random-classifier", "random-steps", "random-lm"
_START_TOKEN = 0
"""What our language model reads before a prompt; the peers are sent it."""


class OurWire:
    """The native protocol, whose steps can also travel in bulk and over a socket."""

    events_at_end = 1

    def classify(self, tokens: Tokens) -> Request:
        body = {"inputs": [tokens.tolist()]}
        return Request(post_json(f"/v1/models/{_CLASSIFIER}/predict", body), (tokens,))

    def open(self, session: int) -> Request:
        body = {"session_id": _name(session)}
        return Request(post_json(f"/v1/models/{_STEPS}/sessions", body))

    def step(self, session: int, tokens: Tokens) -> Request:
        body = {"inputs": tokens.tolist()}
        return Request(post_json(f"/v1/sessions/{_name(session)}/steps", body), (tokens,))

    def bulk(self, sessions: Sequence[int], rows: Sequence[Tokens]) -> Request:
        steps = [
            {"session_id": _name(session), "inputs": tokens.tolist()}
            for session, tokens in zip(sessions, rows, strict=True)
        ]
        return Request(post_json("/v1/sessions:step", {"steps": steps}), tuple(rows))

    def socket(self, session: int) -> Request:
        return Request(upgrade(f"/v1/sessions/{_name(session)}/stream"))

    def frame(self, tokens: Tokens) -> Request:
        return Request(masked(compact({"inputs": tokens.tolist()})), (tokens,))

    def generate(self, prompt: Tokens, num_tokens: int) -> Request:
        body = {
            "prompt": prompt.tolist(),
            "max_tokens": num_tokens,
            "temperature": 0,
            "stream": True,
        }
        data = post_json(f"/v1/models/{_LANGUAGE}/generate", body)
        return Request(data, (prompt,), num_tokens)

    def probabilities(self, body: bytes) -> list[Probabilities]:
        reply = json.loads(body)
        rows = reply.get("predictions") or reply.get("results") or [reply]
        return [_probabilities(row) for row in rows]

    def tokens(self, body: bytes) -> list[int]:
        *pieces, done = events(body)
        if "usage" not in done:
            raise ValueError(f"the stream ends with {done}")
        return [CHARACTERS.index(c) for piece in pieces for c in piece["text"]]


class PeerWire:
    """`{"tokens": [...]}` and, of sessions, `{"session": id, "tokens": [...]}`."""

    events_at_end = 0

    def classify(self, tokens: Tokens) -> Request:
        return Request(post_json("/classify", {"tokens": tokens.tolist()}), (tokens,))

    def open(self, session: int) -> Request:
        """Sessions need no opening there: the first step comes early instead."""
        return self.step(session, np.zeros(1, np.int64))

    def step(self, session: int, tokens: Tokens) -> Request:
        body = {"session": session, "tokens": tokens.tolist()}
        return Request(post_json("/step", body), (tokens,))

    def generate(self, prompt: Tokens, num_tokens: int) -> Request:
        body = {"tokens": [_START_TOKEN, *prompt.tolist()], "max_tokens": num_tokens}
        return Request(post_json("/generate", body), (prompt,), num_tokens)

    def probabilities(self, body: bytes) -> list[Probabilities]:
        return [softmax(np.array(json.loads(body)["logits"]))]

    def tokens(self, body: bytes) -> list[int]:
        return [event["token"] for event in events(body)]


class TritonWire:
    """The Open Inference Protocol with binary tensors, as tritonserver's own client sends them."""

    events_at_end = 0

    def classify(self, tokens: Tokens) -> Request:
        return _infer("classify", tokens, {})

    def open(self, session: int) -> Request:
        """A sequence begins with its first step."""
        return _infer("step", np.zeros(1, np.int64), _sequence(session, start=True))

    def step(self, session: int, tokens: Tokens) -> Request:
        return _infer("step", tokens, _sequence(session, start=False))

    def generate(self, prompt: Tokens, num_tokens: int) -> Request:
        body = {"tokens": [_START_TOKEN, *prompt.tolist()], "max_tokens": num_tokens}
        return Request(
            post_json("/v2/models/generate/generate_stream", body), (prompt,), num_tokens
        )

    def probabilities(self, body: bytes) -> list[Probabilities]:
        head, _ = json.JSONDecoder().raw_decode(body.decode("latin-1"))
        (shape,) = (output["shape"] for output in head["outputs"])
        return [softmax(np.frombuffer(body[-4 * shape[-1] :], np.float32))]

    def tokens(self, body: bytes) -> list[int]:
        return [event["token"] for event in events(body)]


def _name(session: int) -> str:
    return f"load-{session}"


def _probabilities(row: dict[str, Any]) -> Probabilities:
    return np.array(list(row.get("prediction", row)["probabilities"].values()))


def _sequence(session: int, *, start: bool) -> dict[str, Any]:
    return {"sequence_id": session, "sequence_start": start, "sequence_end": False}


def _infer(model: str, tokens: Tokens, parameters: dict[str, Any]) -> Request:
    tensor = {
        "name": "tokens",
        "shape": [1, len(tokens)],
        "datatype": "INT64",
        "parameters": {"binary_data_size": tokens.nbytes},
    }
    head = compact({"parameters": {"binary_data_output": True, **parameters}, "inputs": [tensor]})
    data = request(
        "POST",
        f"/v2/models/{model}/infer",
        head + tokens.tobytes(),
        content_type="application/octet-stream",
        headers=[f"Inference-Header-Content-Length: {len(head)}"],
    )
    return Request(data, (tokens,))

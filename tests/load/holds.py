"""How long bodies that mean ill hold the event loop: `python -m tests.load.holds`.

Each is near the limit of 16 MiB and asks for as much decoding as it can; the data plane behind
the protocols does nothing. A hold is the process's own time between two beats of the loop, and
of several rounds the least one counts, so that a busy machine adds little.
"""

import asyncio
import gc
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace

import numpy as np
from fastapi import FastAPI

from service.dataplane.types import (
    DEFAULT_SEARCH,
    Call,
    Feed,
    Forecast,
    Likelihood,
    Prediction,
    Predictions,
    SearchRequest,
    SequenceInput,
    StepReply,
)
from service.protocols.tensors import MEDIA_TYPE, Tensors, dump
from tests.load.report import conditions_now
from tests.service.protocols.fakes import FakeDataPlane
from tests.service.protocols.serving import CONFIG, make_app

_ROUNDS = 5
_BEAT_SECONDS = 0.001
_BYTES = 15_000_000

_PREDICT = "/v1/models/sums/predict"
_GENERATE = "/v1/models/sums/generate"
_SESSIONS = "/v1/models/sums/sessions"
_STEP = "/v1/sessions/mine/steps"
_STEPS = "/v1/sessions:step"

Asked = tuple[str, bytes, dict[str, str]]
"""A path, a body, headers."""


def many(item: bytes) -> bytes:
    """A list's inside, as long as a body may be."""
    return b",".join([item] * (_BYTES // (len(item) + 1)))


def asked() -> dict[str, Asked]:
    """By what is in the body."""
    tensors = {"Content-Type": MEDIA_TYPE}
    lengths = {"inputs": np.zeros((4, 2), np.float32), "lengths": np.ones(_BYTES, np.int8)}
    row = b"[1.5,2.5]"
    json = {
        "sequences: numbers": (_PREDICT, b'{"inputs":[%b]}' % many(b"1")),
        "sequences: texts": (_PREDICT, b'{"inputs":[%b]}' % many(b'"a"')),
        "sequences: lists": (_PREDICT, b'{"inputs":[%b]}' % many(b"[1]")),
        "one sequence: text": (_PREDICT, b'{"inputs":["%b"]}' % (b"a" * _BYTES)),
        "one sequence: quotes": (_PREDICT, b'{"inputs":["%b"]}' % (b'\\"' * (_BYTES // 2))),
        "one sequence: rows": (_PREDICT, b'{"inputs":[[%b]]}' % many(row)),
        "one sequence: rows, the last of text": (_PREDICT, b'{"inputs":[[%b,["x"]]]}' % many(row)),
        "one sequence: rows, the last shorter": (_PREDICT, b'{"inputs":[[%b,[1]]]}' % many(row)),
        "a field twice": (_PREDICT, b'{"inputs":[[%b]],"raw":true,"raw":true}' % many(row)),
        "a chunk of rows": (_STEP, b'{"inputs":[%b]}' % many(row)),
        "chunks": (_STEPS, b'{"steps":[%b]}' % many(b'{"session_id":"a","inputs":"a"}')),
        "an id": (_STEPS, b'{"steps":[{"session_id":"%b","inputs":"a"}]}' % (b"a" * _BYTES)),
        "a prompt of ids": (_GENERATE, b'{"prompt":[%b]}' % many(b"12")),
        "stop strings": (_GENERATE, b'{"stop":[%b]}' % many(b'"a"')),
        "a state": (_SESSIONS, b'{"initial_state":{"total":[%b]}}' % many(b"1.5")),
        "states": (_SESSIONS, b'{"initial_state":{%b}}' % many(b'"a":1')),
        "an unknown field": (_SESSIONS, b'{"%b":1}' % (b"a" * _BYTES)),
        "answer: raw numbers": (_PREDICT, b'{"inputs":["a"],"raw":true}'),
    }
    return {name: (path, body, {}) for name, (path, body) in json.items()} | {
        "tensors: lengths": (_PREDICT, dump(Tensors(lengths)), tensors),
        "answer: raw tensors": (_PREDICT, json["answer: raw numbers"][1], {"Accept": MEDIA_TYPE}),
    }


class IdlePlane(FakeDataPlane):
    """Asked for raw outputs, it answers as a language model of a text of 100,000 characters."""

    def __init__(self) -> None:
        super().__init__()
        answer = Likelihood(-1.0, 2.0, ["a"] * 100_000, np.zeros(100_000))
        logits = np.random.default_rng(1).random((100_000, 65), np.float32)
        self._raw = Prediction(answer, 100_000, {"logits": logits})
        self._plain = Prediction(Forecast(np.zeros((1, 2), np.float32)), 1)

    async def predict(
        self,
        ref: str,
        inputs: Sequence[SequenceInput],
        *,
        call: Call,
        raw: bool = False,
        explain: bool = False,
        search: SearchRequest = DEFAULT_SEARCH,
    ) -> Predictions:
        return Predictions("sums", 3, [self._raw if raw else self._plain for _ in inputs])

    async def feed(
        self,
        session_id: str,
        chunk: SequenceInput,
        *,
        call: Call,
        step: int | None = None,
        raw: bool = False,
    ) -> Feed:
        return Feed(StepReply(session_id, 1, self._plain, 0.0), replayed=False, model="sums")


def application() -> FastAPI:
    return make_app(IdlePlane(), config=replace(CONFIG, max_body_bytes=1 << 24, access_log=False))


async def ask(app: FastAPI, path: str, body: bytes, headers: dict[str, str]) -> int:
    """The answer's status."""
    statuses: list[int] = []
    messages = iter([{"type": "http.request", "body": body}])

    async def receive() -> dict[str, object]:
        return next(messages, None) or await asyncio.Event().wait()

    async def send(message: dict[str, object]) -> None:
        if "status" in message:
            statuses.append(message["status"])

    scope = {
        "type": "http",
        "method": "POST",
        "path": path,
        "raw_path": path.encode(),
        "root_path": "",
        "query_string": b"",
        "headers": [(name.lower().encode(), text.encode()) for name, text in headers.items()],
    }
    await app(scope, receive, send)
    return statuses[0]


async def longest_hold(work: Callable[[], Awaitable[int]]) -> tuple[float, int]:
    """Seconds of processor time in which nothing else ran on the loop, and what `work` gave."""
    beats = [time.process_time()]

    async def beat() -> None:
        while True:
            await asyncio.sleep(_BEAT_SECONDS)
            beats.append(time.process_time())

    beating = asyncio.create_task(beat())
    await asyncio.sleep(_BEAT_SECONDS)
    result = await work()
    await asyncio.sleep(2 * _BEAT_SECONDS)
    beating.cancel()
    return float(np.diff(beats).max()), result


async def main() -> None:
    for name, value in conditions_now("tests.load.holds").items():
        print(f"- {name}: {value}")
    print("\n| body | status | longest hold, ms |\n|:--|--:|--:|")
    app = application()
    gc.collect()
    gc.freeze()  # as the service does
    for name, request in asked().items():
        rounds = [await longest_hold(lambda r=request: ask(app, *r)) for _ in range(_ROUNDS)]
        seconds, status = min(rounds)
        print(f"| {name} | {status} | {seconds * 1e3:.1f} |", flush=True)


if __name__ == "__main__":
    asyncio.run(main())

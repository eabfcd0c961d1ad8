"""Event streams: framing, endings, silence."""

import asyncio
import json
from collections.abc import AsyncGenerator
from typing import Any

import pytest

from service.protocols.exchange import Exchange
from service.protocols.operation import HttpConfig
from service.protocols.presence import Presence
from service.protocols.sse import PING, EventStream, frame
from tests.service.protocols.fakes import FakeDataPlane
from tests.service.protocols.serving import client_of, make_app

GENERATE = "/v1/models/sums/generate"


def events(text: str) -> list[tuple[str, object]]:
    """(event, data) of each block of a stream."""
    blocks = [block.split("\n") for block in text.removesuffix("\n\n").split("\n\n")]
    named = [["event: message", *block] if len(block) == 1 else block for block in blocks]
    return [
        (name.removeprefix("event: "), json.loads(data.removeprefix("data: ")))
        for name, data in named
    ]


def test_an_event_is_one_line_of_data_with_its_name_before_it():
    assert frame(b"{}") == b"data: {}\n\n"
    assert frame(b"{}", event="done") == b"event: done\ndata: {}\n\n"


async def test_a_generation_is_pieces_and_an_explicit_end():
    async with client_of(make_app(FakeDataPlane())) as client:
        body = {"prompt": "to be", "stream": True, "logprobs": 1}
        reply = await client.post(GENERATE, json=body)
    assert reply.status_code == 200
    assert reply.headers["content-type"].startswith("text/event-stream")
    assert reply.headers["cache-control"] == "no-cache"
    assert reply.headers["x-accel-buffering"] == "no"
    assert "content-length" not in reply.headers
    logprobs = [{"token": "a", "logprob": -0.5, "top": {"a": -0.5}}]
    assert events(reply.text) == [
        ("message", {"index": 0, "text": "to", "logprobs": logprobs}),
        ("message", {"index": 0, "text": "be", "logprobs": logprobs}),
        (
            "done",
            {
                "choices": [{"index": 0, "finish_reason": "stop"}],
                "usage": {"prompt_tokens": 1, "completion_tokens": 2, "reused_tokens": 0},
            },
        ),
    ]


async def test_a_session_says_at_the_end_where_it_stands():
    async with client_of(make_app(FakeDataPlane())) as client:
        await client.post("/v1/models/sums/sessions", json={"session_id": "mine"})
        reply = await client.post("/v1/sessions/mine/generate", json={"stream": True})
    ((name, data),) = events(reply.text)
    assert name == "done"
    assert isinstance(data, dict)
    assert (data["session_id"], data["step"]) == ("mine", 4)
    assert data["expires_at"] == "2026-01-01T00:10:00.000Z"


async def test_an_error_before_the_first_event_is_a_plain_answer():
    async with client_of(make_app(FakeDataPlane())) as client:
        reply = await client.post(GENERATE, json={"prompt": "full", "stream": True})
    assert reply.status_code == 429
    assert reply.headers["retry-after"] == "3"
    assert reply.json()["error"]["code"] == "queue_full"


@pytest.mark.parametrize(("word", "code"), [("fail", "model_failed"), ("crash", "internal_error")])
async def test_an_error_midway_is_the_last_event_and_tells_nothing_of_the_inside(
    word: str, code: str
):
    async with client_of(make_app(FakeDataPlane())) as client:
        reply = await client.post(GENERATE, json={"prompt": f"to {word} be", "stream": True})
    assert reply.status_code == 200
    first, (name, data) = events(reply.text)
    assert first == ("message", {"index": 0, "text": "to"})
    assert name == "error"
    assert isinstance(data, dict)
    assert data["error"]["code"] == code
    assert "secret" not in reply.text


async def test_silence_is_broken_by_a_comment():
    app = make_app(FakeDataPlane(), config=HttpConfig(ping_seconds=0.01))
    async with client_of(app) as client:
        reply = await client.post(GENERATE, json={"prompt": "pause be", "stream": True})
    assert PING.decode() in reply.text
    assert events(reply.text.replace(PING.decode(), ""))[-1][0] == "done"


class Reader:
    """A client that takes each write only when the test lets it."""

    def __init__(self) -> None:
        self.written: list[bytes] = []
        self.turns = asyncio.Semaphore(0)

    async def send(self, message: Any) -> None:
        await self.turns.acquire()
        self.written.append(message.get("body", b""))

    async def receive(self) -> dict[str, str]:
        await asyncio.Event().wait()
        raise AssertionError


def writing(source: AsyncGenerator[list[int]], reader: Reader) -> asyncio.Task[None]:
    stream = EventStream(source, lambda number: b"%d," % number, presence=Presence())
    scope = {"type": "http", "method": "POST", "path": "/", "headers": []}
    exchange = Exchange(scope, reader.receive, reader.send, arrived=0.0)
    return asyncio.create_task(stream.write(exchange))


async def test_what_is_ready_together_is_written_together():
    async def source() -> AsyncGenerator[list[int]]:
        yield [1, 2, 3]
        yield [4]

    reader = Reader()
    for _ in range(10):
        reader.turns.release()
    await writing(source(), reader)
    assert reader.written == [b"", b"1,2,3,", b"4,", b""]


async def test_a_slow_reader_holds_the_source_back():
    taken = 0

    async def source() -> AsyncGenerator[list[int]]:
        nonlocal taken
        for taken in range(10_000):
            yield [taken]

    reader = Reader()
    task = writing(source(), reader)
    for _ in range(3):
        reader.turns.release()
    for _ in range(100):
        await asyncio.sleep(0)
    assert taken < 5
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_the_source_runs_in_one_task_from_first_to_last():
    tasks: set[object] = set()

    async def source() -> AsyncGenerator[list[int]]:
        try:
            tasks.add(asyncio.current_task())
            yield [1]
            tasks.add(asyncio.current_task())
            await asyncio.Event().wait()
        finally:
            tasks.add(asyncio.current_task())

    reader = Reader()
    task = writing(source(), reader)
    for _ in range(2):
        reader.turns.release()
    for _ in range(10):
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert tasks == {task}

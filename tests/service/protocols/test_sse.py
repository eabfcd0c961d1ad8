"""Event streams: framing, endings, silence."""

import asyncio
import json
from collections.abc import AsyncGenerator

import pytest

from service.errors import ModelFailed
from service.protocols.operation import HttpConfig
from service.protocols.sse import PING, Relay, frame
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


async def numbers(stop: int) -> AsyncGenerator[int]:
    for number in range(stop):
        yield number


async def test_what_is_ready_at_once_is_taken_at_once():
    relay = Relay(numbers(5))
    assert await relay.next() == [0, 1, 2, 3, 4]
    assert await relay.next() == []
    await relay.close()


async def test_a_slow_reader_holds_the_source_back():
    taken = 0

    async def source() -> AsyncGenerator[int]:
        nonlocal taken
        for taken in range(10_000):
            yield taken

    relay = Relay(source())
    await relay.next()
    for _ in range(100):
        await asyncio.sleep(0)
    assert taken < 100
    await relay.close()


async def test_what_came_before_an_error_is_handed_out_first():
    async def source() -> AsyncGenerator[int]:
        yield 1
        raise ModelFailed("broke")

    relay = Relay(source())
    assert await relay.next() == [1]
    with pytest.raises(ModelFailed):
        await relay.next()
    await relay.close()


async def test_the_source_runs_in_one_task_from_first_to_last():
    tasks: set[object] = set()

    async def source() -> AsyncGenerator[int]:
        try:
            tasks.add(asyncio.current_task())
            yield 1
            tasks.add(asyncio.current_task())
            await asyncio.Event().wait()
        finally:
            tasks.add(asyncio.current_task())

    relay = Relay(source())
    await relay.next()
    await relay.close()
    assert len(tasks) == 1

"""A socket is as good as a request: it hears its client leave, it has an id and a priority."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
import structlog
from prometheus_client import CollectorRegistry
from starlette.types import Message
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from service.dataplane.types import Call, OpenRequest
from service.protocols.health import HealthState
from service.protocols.operation import HttpConfig
from service.telemetry.logging import merge_request
from service.telemetry.metrics import Metrics
from tests.service.garbage import garbage_of
from tests.service.protocols.fakes import FakeDataPlane
from tests.service.protocols.serving import client_of, make_app, ready_health, served

PATIENCE_SECONDS = 5.0
STREAM = "/v1/sessions/mine/stream"


class Wire:
    """The server's side of a socket, played by the test: what it hears, and what it said."""

    def __init__(self, *heard: Message) -> None:
        self.heard = [{"type": "websocket.connect"}, *heard]
        self.said: list[Message] = []
        self.num_read = 0
        self.is_gone = False
        self._news = asyncio.Condition()

    async def receive(self) -> Message:
        async with self._news:
            await self._news.wait_for(lambda: self.num_read < len(self.heard))
            self.num_read += 1
            return self.heard[self.num_read - 1]

    async def send(self, message: Message) -> None:
        if self.is_gone:
            raise OSError("the client is gone")
        async with self._news:
            self.said.append(message)
            self._news.notify_all()

    async def hear(self, *messages: Message) -> None:
        async with self._news:
            self.heard.extend(messages)
            self._news.notify_all()

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(PATIENCE_SECONDS), self._news:
            await self._news.wait_for(condition)

    def texts(self) -> list[dict[str, Any]]:
        return [json.loads(m["text"]) for m in self.said if m["type"] == "websocket.send"]


def frame(**body: Any) -> Message:
    return {"type": "websocket.receive", "text": json.dumps(body)}


LEFT: Message = {"type": "websocket.disconnect", "code": 1006}


@asynccontextmanager
async def talking(
    wire: Wire, plane: FakeDataPlane, *headers: tuple[bytes, bytes], **named: Any
) -> AsyncIterator[asyncio.Task[None]]:
    """The application's end of the conversation, while it lasts."""
    await plane.open_session("sums", OpenRequest(session_id="mine"), call=Call("public", "native"))
    scope = {
        "type": "websocket",
        "path": STREAM,
        "headers": headers,
        "extensions": {"websocket.http.response": {}},
    }
    task = asyncio.create_task(make_app(plane, **named)(scope, wire.receive, wire.send))
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.wait([task])


@pytest.mark.parametrize("politely", [True, False])
def test_a_frame_stops_when_its_client_leaves(politely: bool):
    plane = FakeDataPlane()
    with served(make_app(plane)) as (host, port):
        address = f"ws://{host}:{port}"
        asyncio.run(plane.open_session("sums", OpenRequest("mine"), call=Call("public", "native")))
        with connect(address + STREAM) as socket:
            socket.send('{"inputs": "wait"}')
            assert plane.entered.wait(PATIENCE_SECONDS)
            assert not plane.left.is_set()
            if not politely:
                socket.close_socket()
        assert plane.left.wait(PATIENCE_SECONDS)


async def test_frames_behind_the_one_that_was_cancelled_do_nothing():
    plane, wire = FakeDataPlane(), Wire(frame(inputs="wait"), frame(inputs=[[1, 2]]), LEFT)
    async with talking(wire, plane) as task:
        await asyncio.wait_for(task, PATIENCE_SECONDS)
    assert plane.left.is_set()
    assert len(plane.calls) == 1
    assert (await plane.session("mine", call=Call("public", "native"))).step == 0


async def test_a_client_that_is_gone_is_no_failure():
    metrics = Metrics(CollectorRegistry())
    plane, wire = FakeDataPlane(), Wire()
    async with talking(wire, plane, metrics=metrics) as task:
        with structlog.testing.capture_logs() as logs:
            await wire.until(lambda: len(wire.said) == 1)
            wire.is_gone = True
            await wire.hear(frame(inputs=[[1, 2]]))
            await asyncio.wait_for(task, PATIENCE_SECONDS)
    assert not logs
    assert metrics.requests.labels("native", "sums", "ok").value == 1
    assert metrics.requests.labels("native", "sums", "internal_error").value == 0


async def test_a_frame_that_was_cancelled_counts_as_that():
    metrics = Metrics(CollectorRegistry())
    plane, wire = FakeDataPlane(), Wire(frame(inputs="wait"), LEFT)
    async with talking(wire, plane, metrics=metrics) as task:
        await asyncio.wait_for(task, PATIENCE_SECONDS)
    assert metrics.requests.labels("native", "sums", "cancelled").value == 1


@pytest.mark.parametrize("window", [1, 3])
async def test_no_more_frames_are_read_ahead_than_the_window_holds(window: int):
    plane, wire = FakeDataPlane(), Wire(frame(inputs="wait"), *[frame(inputs=[[1, 2]])] * 9)
    config = HttpConfig(stream_window=window)
    async with talking(wire, plane, config=config):
        await asyncio.to_thread(plane.entered.wait, PATIENCE_SECONDS)
        for _ in range(100):
            await asyncio.sleep(0)
        assert wire.num_read == 1 + 1 + window  # the handshake, and the one that is answered


async def test_no_more_bytes_are_read_ahead_than_a_body_may_have():
    large = frame(inputs="x" * 60)
    plane, wire = FakeDataPlane(), Wire(frame(inputs="wait"), *[large] * 9)
    config = HttpConfig(max_body_bytes=100)
    async with talking(wire, plane, config=config):
        await asyncio.to_thread(plane.entered.wait, PATIENCE_SECONDS)
        for _ in range(100):
            await asyncio.sleep(0)
        assert wire.num_read == 1 + 1 + 2


@pytest.mark.parametrize("window", [1, 3, 100])
async def test_frames_within_and_beyond_the_window_are_answered_in_order(window: int):
    plane, wire = FakeDataPlane(), Wire(*[frame(inputs=[[1, 2]])] * 20, frame(inputs="pause"))
    async with talking(wire, plane, config=HttpConfig(stream_window=window)):
        await wire.until(lambda: len(wire.texts()) == 21)
    assert [reply.get("step") for reply in wire.texts()] == [*range(1, 21), None]


async def test_the_handshake_is_answered_with_the_requests_id():
    plane, wire = FakeDataPlane(), Wire()
    async with talking(wire, plane, (b"x-request-id", b"from afar")):
        await wire.until(lambda: bool(wire.said))
    assert wire.said[0]["type"] == "websocket.accept"
    assert (b"x-request-id", b"from afar") in wire.said[0]["headers"]


async def test_a_frame_that_crashes_tells_the_client_the_id_and_the_log_the_cause():
    plane, wire = FakeDataPlane(), Wire(frame(inputs="crash"), frame(inputs=[[1, 2]]))
    with structlog.testing.capture_logs([merge_request]) as logs:
        async with talking(wire, plane, (b"x-request-id", b"from afar")):
            await wire.until(lambda: len(wire.texts()) == 2)
    error, reply = wire.texts()
    assert error["error"]["code"] == "internal_error"
    assert error["error"]["details"] == {"request_id": "from afar"}
    assert "secret" not in json.dumps(error)
    assert reply["step"] == 1
    (log,) = [log for log in logs if log["log_level"] == "error"]
    assert (log["request_id"], log["tenant"]) == ("from afar", "public")


async def test_the_headers_of_the_handshake_count_for_every_frame():
    plane, wire = FakeDataPlane(), Wire(frame(inputs=[[1, 2]]), frame(inputs=[[1, 2]]))
    headers = ((b"recur-priority", b"High"), (b"recur-deadline-ms", b"60000"))
    async with talking(wire, plane, *headers):
        await wire.until(lambda: len(wire.texts()) == 2)
    assert [call.priority for call in plane.calls] == ["high", "high"]
    assert all(call.deadline - time.monotonic() > 50 for call in plane.calls)


async def test_a_frames_own_deadline_is_the_one_that_counts():
    plane, wire = FakeDataPlane(), Wire(frame(inputs=[[1, 2]], deadline_ms=5000))
    async with talking(wire, plane, (b"recur-deadline-ms", b"60000")):
        await wire.until(lambda: len(wire.texts()) == 1)
    assert 0 < plane.calls[0].deadline - time.monotonic() <= 5


async def test_a_frame_that_names_no_deadline_has_the_configurations():
    plane, wire = FakeDataPlane(), Wire(frame(inputs=[[1, 2]]))
    async with talking(wire, plane, config=HttpConfig(default_deadline_seconds=7.0)):
        await wire.until(lambda: len(wire.texts()) == 1)
    assert 5 < plane.calls[0].deadline - time.monotonic() <= 7


@pytest.mark.parametrize(
    ("headers", "status", "code"),
    [
        ({"Recur-Priority": "most"}, 422, "invalid_input"),
        ({"Recur-Deadline-Ms": "soon"}, 400, "malformed_request"),
        ({"Recur-Deadline-Ms": "-1"}, 422, "invalid_input"),
    ],
)
def test_a_handshake_that_is_refused_is_told_why_and_has_an_id(
    headers: dict[str, str], status: int, code: str, caplog: pytest.LogCaptureFixture
):
    plane = FakeDataPlane()
    asyncio.run(plane.open_session("sums", OpenRequest("mine"), call=Call("public", "native")))
    with (
        served(make_app(plane)) as (host, port),
        pytest.raises(InvalidStatus) as caught,
        connect(f"ws://{host}:{port}{STREAM}", additional_headers=headers),
    ):
        raise AssertionError("it was let in")
    response = caught.value.response
    assert response.status_code == status
    assert json.loads(response.body)["error"]["code"] == code
    assert response.headers["X-Request-Id"]
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


async def test_a_service_that_drains_refuses_the_handshake():
    health = ready_health()
    health.state = HealthState.DRAINING
    plane, wire = FakeDataPlane(), Wire()
    async with talking(wire, plane, health=health) as task:
        await asyncio.wait_for(task, PATIENCE_SECONDS)
    assert wire.said[0]["status"] == 503


async def test_a_plain_request_is_told_to_ask_for_a_socket():
    async with client_of(make_app(FakeDataPlane())) as client:
        reply = await client.get(STREAM)
    assert reply.status_code == 426
    assert reply.json()["error"]["code"] == "upgrade_required"
    assert reply.headers["upgrade"] == "websocket"


def test_the_document_tells_of_the_socket():
    page = make_app(FakeDataPlane()).openapi()["paths"]["/v1/sessions/{session_id}/stream"]["get"]
    assert {"101", "401", "404", "410", "422", "426", "503"} <= set(page["responses"])
    assert "content" not in page["responses"]["101"]
    assert "RECUR_STREAM_WINDOW" in page["description"]


@pytest.mark.parametrize(
    "heard",
    [
        [LEFT],
        [frame(inputs="wait"), LEFT],
        [frame(inputs=[[1]]), frame(inputs="full"), frame(inputs=[[1, 2]]), LEFT],
    ],
    ids=["at once", "while a frame runs", "after frames that failed"],
)
@pytest.mark.parametrize("is_gone", [False, True])
async def test_a_conversation_that_is_over_leaves_nothing_to_the_collector(
    heard: list[Message], is_gone: bool
):
    plane = FakeDataPlane()
    await plane.open_session("sums", OpenRequest(session_id="mine"), call=Call("public", "native"))
    app = make_app(plane)

    async def conversation() -> None:
        said: list[Message] = []
        messages = iter([{"type": "websocket.connect"}, *heard])

        async def receive() -> Message:
            for _ in range(3):
                await asyncio.sleep(0)
            return next(messages)

        async def send(message: Message) -> None:
            said.append(message)
            if is_gone and len(said) > 1:
                raise OSError("the client is gone")

        await app({"type": "websocket", "path": STREAM, "headers": []}, receive, send)

    assert await garbage_of(conversation) == 0

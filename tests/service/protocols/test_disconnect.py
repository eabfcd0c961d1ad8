"""A client that leaves takes its work with it, at once, wherever the work stands."""

import asyncio
import socket

import pytest
from prometheus_client import CollectorRegistry

from service.errors import Cancelled
from service.protocols.presence import Presence
from service.telemetry.metrics import Metrics
from tests.service.garbage import garbage_of
from tests.service.protocols.fakes import FakeDataPlane
from tests.service.protocols.serving import make_app, served

PATIENCE_SECONDS = 5.0


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/models/sums/predict", b'{"inputs":["wait"]}'),
        ("/v1/models/sums/generate", b'{"prompt":"wait"}'),
        ("/v1/models/sums/generate", b'{"prompt":"wait","stream":true}'),
        ("/v1/models/sums/generate", b'{"prompt":"to wait","stream":true}'),
        ("/v1/sessions/mine/steps", b'{"inputs":"wait"}'),
        ("/v1/sessions/mine/generate", b'{"prompt":"wait"}'),
        ("/v1/sessions/mine/generate", b'{"prompt":"to wait","stream":true}'),
    ],
    ids=[
        "predict",
        "generate",
        "stream at once",
        "stream midway",
        "step",
        "session",
        "session stream",
    ],
)
def test_work_stops_when_its_client_leaves(path: str, body: bytes):
    plane, collectors = FakeDataPlane(), CollectorRegistry()
    with served(make_app(plane, metrics=Metrics(collectors))) as address:
        with socket.create_connection(address) as client:
            client.sendall(request("/v1/models/sums/sessions", b'{"session_id":"mine"}'))
            assert b" 201 " in client.recv(65536)
            client.sendall(request(path, body))
            assert plane.entered.wait(PATIENCE_SECONDS)
            assert not plane.left.is_set()
        assert plane.left.wait(PATIENCE_SECONDS)
    labels = {"protocol": "native", "model": "sums", "outcome": "cancelled"}
    assert collectors.get_sample_value("recur_requests_total", labels) == 1


def test_a_client_that_leaves_amid_its_body_leaves_no_work():
    plane = FakeDataPlane()
    with served(make_app(plane)) as address:
        with socket.create_connection(address) as client:
            client.sendall(request("/v1/models/sums/predict", b'{"inputs":["wait"]}')[:-3])
        with socket.create_connection(address) as client:
            client.sendall(request("/v1/models/sums/predict", b'{"inputs":[[[1,2]]]}'))
            assert b" 200 " in client.recv(65536)
    assert not plane.entered.is_set()


def request(path: str, body: bytes) -> bytes:
    head = f"POST {path} HTTP/1.1\r\nHost: test\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


async def never() -> dict[str, str]:
    await asyncio.Event().wait()
    raise AssertionError


async def gone() -> dict[str, str]:
    return {"type": "http.disconnect"}


async def test_finished_work_counts_though_the_client_left():
    async def work() -> int:
        return 7

    assert await Presence(look_seconds=0).while_connected(gone, work()) == 7


async def test_work_that_fails_raises_its_own_error():
    async def work() -> int:
        await asyncio.sleep(0)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await Presence(look_seconds=0).while_connected(never, work())


async def test_leaving_is_told_apart_from_being_cancelled():
    async def work() -> None:
        await asyncio.Event().wait()

    with pytest.raises(Cancelled):
        await Presence(look_seconds=0).while_connected(gone, work())
    task = asyncio.create_task(Presence(look_seconds=0).while_connected(never, work()))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_deadline_around_the_wait_still_works():
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await Presence(look_seconds=0).while_connected(never, asyncio.Event().wait())


async def test_a_client_that_waited_leaves_nothing_to_the_collector():
    presence = Presence(look_seconds=0.001)

    async def visit() -> None:
        await presence.while_connected(never, asyncio.sleep(0.01))  # it is watched meanwhile

    assert await garbage_of(visit) == 0

"""The wire: an answer leaves in one piece, and no other answer of uvicorn's is held back."""

import gc
import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from starlette.types import Receive, Scope, Send

from service.protocols.wire import HttpProtocol
from tests.load.websocket import upgrade
from tests.service.protocols.fakes import FakeDataPlane
from tests.service.protocols.serving import make_app, served

BODY = b'{"inputs":[[[1,2]]]}'


@contextmanager
def connected(app: object) -> Iterator[socket.socket]:
    with served(app) as address, socket.create_connection(address) as client:
        client.settimeout(5)
        yield client


def post(path: str, body: bytes, *headers: str) -> bytes:
    lines = [f"POST {path} HTTP/1.1", "Host: test", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join([*lines, "", ""]).encode() + body


def test_head_and_body_arrive_together_on_a_connection_that_stays():
    with connected(make_app(FakeDataPlane())) as client:
        for _ in range(3):
            client.sendall(post("/v1/models/sums/predict", BODY))
            answer = client.recv(65536)
            assert answer.startswith(b"HTTP/1.1 200 ")
            assert answer.endswith(b"}")


def test_pipelined_requests_are_answered_in_order():
    with connected(make_app(FakeDataPlane())) as client:
        bad = post("/v1/models/none/predict", BODY)
        last = post("/v1/models/sums/predict", BODY, "Connection: close")
        client.sendall(post("/v1/models/sums/predict", BODY) + bad + last)
        answer = b"".join(iter(lambda: client.recv(65536), b""))
    assert re.findall(rb"HTTP/1.1 (\d+)", answer) == [b"200", b"404", b"200"]


def test_a_client_that_waits_for_the_word_to_go_on_hears_it_before_its_body():
    with connected(make_app(FakeDataPlane())) as client:
        request = post("/v1/models/sums/predict", BODY, "Expect: 100-continue")
        client.sendall(request[: -len(BODY)])
        assert client.recv(65536) == b"HTTP/1.1 100 Continue\r\n\r\n"
        client.sendall(BODY)
        assert client.recv(65536).startswith(b"HTTP/1.1 200 ")


def test_bytes_that_are_not_http_are_told_so_and_the_connection_closes():
    with connected(make_app(FakeDataPlane())) as client:
        client.sendall(b"nonsense\r\n\r\n")
        answer = b"".join(iter(lambda: client.recv(65536), b""))
    assert answer.startswith(b"HTTP/1.1 400 ")


@pytest.mark.parametrize("method", ["HEAD", "GET"])
def test_an_answer_without_a_body_leaves_too(method: str):
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    with connected(app) as client:
        client.sendall(f"{method} / HTTP/1.1\r\nHost: test\r\n\r\n".encode())
        assert client.recv(65536).startswith(b"HTTP/1.1 204 ")


def test_a_connection_that_is_over_is_forgotten_without_the_collector():
    gc.collect()
    gc.disable()
    try:
        with connected(make_app(FakeDataPlane())) as client:
            client.sendall(post("/v1/models/sums/sessions", b'{"session_id":"mine"}'))
            assert client.recv(65536).startswith(b"HTTP/1.1 201 ")
            client.sendall(upgrade("/v1/sessions/mine/stream"))
            assert client.recv(65536).startswith(b"HTTP/1.1 101 ")
        assert not [one for one in gc.get_objects() if type(one) is HttpProtocol]
    finally:
        gc.enable()

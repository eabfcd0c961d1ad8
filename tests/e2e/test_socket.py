"""A session over a real WebSocket: in order, in kind, and with the guarantees of a request."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from safetensors.numpy import load, save
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from tests.e2e.server import Server, api_keys, serving, wait_for
from tests.service.artifacts import save_babble, save_running_total

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module", params=["0", "2"], ids=["one process", "two fronts"])
def server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    root = tmp_path_factory.mktemp("socket")
    save_babble(root / "models")
    save_running_total(root / "models")
    settings = {"http_workers": request.param, "max_tokens": "1000000"}
    with serving(root / "models", root / "log", **settings) as server:
        yield server


def open_session(server: Server, model: str = "running-total") -> str:
    return httpx.post(f"{server.url}/v1/models/{model}/sessions").json()["session_id"]


def socket_of(server: Server, session: str, **headers: str) -> ClientConnection:
    url = server.url.replace("http", "ws", 1)
    return connect(f"{url}/v1/sessions/{session}/stream", additional_headers=headers)


def ask(socket: ClientConnection, **body: Any) -> dict[str, Any]:
    socket.send(json.dumps(body))
    return json.loads(socket.recv(timeout=30))


def test_many_frames_in_flight_are_answered_in_order(server: Server) -> None:
    with socket_of(server, open_session(server)) as socket:
        for _ in range(500):
            socket.send('{"inputs": [[1]]}')
        replies = [json.loads(socket.recv(timeout=30)) for _ in range(500)]
    assert [reply["step"] for reply in replies] == list(range(1, 501))
    assert [reply["prediction"]["forecast"] for reply in replies] == [[[n]] for n in range(1, 501)]


def test_a_frame_that_fails_leaves_the_socket_open_and_the_session_where_it_was(
    server: Server,
) -> None:
    with socket_of(server, open_session(server)) as socket:
        assert ask(socket, inputs=[[5]])["step"] == 1
        for body, code in (
            ({"inputs": [[1, 2]]}, "invalid_input"),
            ({"inputs": [[1]], "step": 7}, "step_mismatch"),
            ({"inptus": [[1]]}, "malformed_request"),
            ({"inputs": [[1]], "deadline_ms": 1e-6}, "deadline_exceeded"),
        ):
            assert ask(socket, **body)["error"]["code"] == code
        socket.send("{")
        assert json.loads(socket.recv(timeout=30))["error"]["code"] == "malformed_request"
        assert ask(socket, inputs=[[1]])["prediction"]["forecast"] == [[6.0]]


def test_a_retry_is_answered_again_and_moves_nothing(server: Server) -> None:
    with socket_of(server, open_session(server)) as socket:
        first = ask(socket, inputs=[[5]], step=0)
        again = ask(socket, inputs=[[5]], step=0)
        assert again == first | {"replayed": True}
        assert ask(socket, inputs=[[1]], step=1)["prediction"]["forecast"] == [[6.0]]


def test_a_binary_frame_is_answered_in_kind(server: Server) -> None:
    with socket_of(server, open_session(server)) as socket:
        socket.send(save({"inputs": np.array([[2.0], [3.0]], np.float32)}))
        answer = socket.recv(timeout=30)
        assert isinstance(answer, bytes)
        tensors = load(answer)
        assert tensors["forecast"].ravel().tolist() == [5.0]
        assert tensors["step"].tolist() == [2]
        socket.send(b"\0" * 5)
        assert json.loads(socket.recv(timeout=30))["error"]["code"] == "malformed_request"
        assert ask(socket, inputs=[[1]])["prediction"]["forecast"] == [[6.0]]


@pytest.mark.parametrize(("path", "status"), [("nobody/stream", 404), ("x/elsewhere", 404)])
def test_a_handshake_that_must_not_succeed_gets_an_answer(
    server: Server, path: str, status: int
) -> None:
    url = server.url.replace("http", "ws", 1)
    with pytest.raises(InvalidStatus) as caught:
        connect(f"{url}/v1/sessions/{path}")
    response = caught.value.response
    assert response.status_code == status
    assert "error" in json.loads(response.body or b"")


def test_a_session_that_ends_meanwhile_closes_its_socket(server: Server) -> None:
    session = open_session(server)
    with socket_of(server, session) as socket:
        assert ask(socket, inputs=[[1]])["step"] == 1
        httpx.delete(f"{server.url}/v1/sessions/{session}")
        assert ask(socket, inputs=[[1]])["error"]["code"] == "session_ended"
        with pytest.raises(ConnectionClosed) as caught:
            socket.recv(timeout=30)
    assert caught.value.rcvd is not None
    assert caught.value.rcvd.code == 4410


@pytest.mark.parametrize("politely", [True, False])
def test_a_frame_whose_client_left_is_dropped_and_its_session_where_it_was(
    server: Server, politely: bool
) -> None:
    session = open_session(server, "babble")
    url = f"{server.url}/v1/sessions/{session}"
    before = requests(server, "babble", "cancelled")
    text = {"prompt": "a", "max_tokens": 1_000_000, "stream": True}
    with httpx.stream("POST", f"{url}/generate", json=text, timeout=30) as stream:
        lines = stream.iter_lines()  # kept: the stream is closed with it
        assert next(lines).startswith("data: ")
        with socket_of(server, session) as socket:
            socket.send('{"inputs": "a"}')  # it waits for its turn behind the long text
            socket.ping().wait(30)  # what came before is read
            if not politely:
                socket.close_socket()
        wait_for(lambda: requests(server, "babble", "cancelled") == before + 1)
    with socket_of(server, session) as socket:
        assert ask(socket, inputs="a", step=0)["step"] == 1
    events = server.events()
    assert not [event for event in events if event["level"] == "error"]


def test_a_frame_counts_like_a_request(server: Server) -> None:
    before = requests(server, "running-total", "ok")
    with socket_of(server, open_session(server)) as socket:
        for _ in range(3):
            ask(socket, inputs=[[1]])
    # One opened the session.
    wait_for(lambda: requests(server, "running-total", "ok") == before + 4)


def requests(server: Server, model: str, outcome: str) -> float:
    text = httpx.get(f"{server.url}/metrics").text
    name = f'recur_requests_total{{model="{model}",outcome="{outcome}",protocol="native"}} '
    return sum(float(line[len(name) :]) for line in text.splitlines() if line.startswith(name))


def test_the_handshake_has_the_requests_id(server: Server) -> None:
    session = open_session(server)
    with socket_of(server, session, **{"X-Request-Id": "from afar"}) as socket:
        assert socket.response is not None
        assert socket.response.headers["X-Request-Id"] == "from afar"


def test_a_socket_needs_the_key_of_the_sessions_owner(tmp_path: Path) -> None:
    save_running_total(tmp_path / "models")
    keys = api_keys(ann="key-a", bob="key-b")
    with serving(tmp_path / "models", tmp_path / "log", api_keys=keys) as server:
        ann = {"Authorization": "Bearer key-a"}
        opened = httpx.post(f"{server.url}/v1/models/running-total/sessions", headers=ann)
        session = opened.json()["session_id"]
        with socket_of(server, session, **ann) as socket:
            assert ask(socket, inputs=[[1]])["step"] == 1
        for headers, status in (({}, 401), ({"Authorization": "Bearer key-b"}, 404)):
            with pytest.raises(InvalidStatus) as caught:
                socket_of(server, session, **headers)
            assert caught.value.response.status_code == status

"""Bad input to a real server with the published models: a 4xx that names field and limit.

After each request the process still answers; ONNX Runtime would end it on an empty batch.
"""

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.e2e.server import ROOT, Server, serving

pytestmark = pytest.mark.slow

PREDICT = "/v1/models/{}/predict"
TEXT, NUMBERS, WHOLE = (PREDICT.format(n) for n in ("char-lm", "oil-temperature", "question-type"))
ROW = [5.8, 2.0, 1.6, 0.5, 4.2, 1.3, 30.5]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    log = tmp_path_factory.mktemp("bad") / "log"
    with serving(ROOT / "models", log, max_steps="500", max_sequences="20") as server:
        yield server


@pytest.fixture
def client(server: Server) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server.url, timeout=30) as client:
        yield client
        assert server.process.poll() is None, server.log.read_text()
        fine = client.post(NUMBERS, json={"inputs": [[ROW]]})
        assert fine.status_code == 200, fine.text


def refused(response: httpx.Response, status: int, *, naming: str) -> dict[str, Any]:
    assert response.status_code == status, response.text
    error = response.json()["error"]
    assert set(error) == {"message", "type", "code", "param", "details"}
    assert naming in json.dumps(error, ensure_ascii=False), error
    return error


@pytest.mark.parametrize(
    ("url", "inputs", "status", "naming"),
    [
        (NUMBERS, [], 422, "inputs"),
        (NUMBERS, [[]], 422, "inputs[0]"),
        (NUMBERS, [[[]]], 422, "inputs[0]"),
        (TEXT, [""], 422, "inputs[0]"),
        (WHOLE, [""], 422, "inputs[0]"),
        (WHOLE, ["   "], 422, "inputs[0]"),
        (NUMBERS, [[ROW, ROW[:3]]], 422, "inputs[0][1]"),
        (NUMBERS, [[ROW[:3]]], 422, "features"),
        (NUMBERS, [[[ROW]]], 422, "inputs[0]"),
        (NUMBERS, [ROW], 422, "inputs[0]"),
        (NUMBERS, ["text"], 422, "inputs[0]"),
        (NUMBERS, [[[*ROW[:6], None]]], 422, "inputs[0]"),
        (NUMBERS, [[[*ROW[:6], "1"]]], 422, "inputs[0]"),
        (NUMBERS, [[[*ROW[:6], 1e300]]], 422, "inputs[0][0][6]"),
        (TEXT, [[0, 1, 99]], 422, "inputs[0][2]"),
        (TEXT, [[-1]], 422, "inputs[0][0]"),
        (TEXT, [[2**70]], 422, "inputs[0]"),
        (TEXT, [[1.5]], 422, "inputs[0]"),
        (TEXT, [[True]], 422, "inputs[0]"),
        (TEXT, ["Ωmega"], 422, "Ω"),
        (TEXT, ["a" * 501], 413, "500"),
        (NUMBERS, [[ROW] * 501], 413, "RECUR_MAX_STEPS"),
        (NUMBERS, [[ROW]] * 21, 413, "RECUR_MAX_SEQUENCES"),
        (NUMBERS, "text", 400, "inputs"),
        (NUMBERS, {"0": [ROW]}, 400, "inputs"),
        (NUMBERS, None, 400, "inputs"),
    ],
)
def test_a_bad_sequence_is_refused_by_name(
    client: httpx.Client, url: str, inputs: Any, status: int, naming: str
) -> None:
    refused(client.post(url, content=json.dumps({"inputs": inputs})), status, naming=naming)


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity"])
def test_numbers_that_json_lacks_are_refused(client: httpx.Client, number: str) -> None:
    body = f'{{"inputs": [[[1, 2, 3, 4, 5, 6, {number}]]]}}'
    refused(client.post(NUMBERS, content=body), 400, naming="inputs[0][0][6]")


def test_a_bad_sequence_fails_alone(client: httpx.Client) -> None:
    reply = client.post(NUMBERS, json={"inputs": [[ROW], [ROW[:2]], [ROW, ROW]]})
    assert reply.status_code == 200
    first, second, third = reply.json()["predictions"]
    assert second["error"]["param"].startswith("inputs[1]")
    assert len(first["forecast"]) == len(third["forecast"]) == 24


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("max_tokens", 0),
        ("max_tokens", 10**6),
        ("temperature", -1),
        ("top_p", 0),
        ("top_p", 1.5),
        ("top_k", -1),
        ("repetition_penalty", 0),
        ("n", 0),
        ("n", 1000),
        ("logprobs", 1000),
        ("seed", -1),
        ("stop", [""]),
        ("stop", ["a"] * 100),
        ("deadline_ms", 0),
    ],
)
def test_a_generation_out_of_range_names_its_field(
    client: httpx.Client, field: str, value: Any
) -> None:
    body = {"prompt": "ROMEO:", field: value, "stream": True}
    response = client.post("/v1/models/char-lm/generate", json=body)
    refused(response, 422, naming=field)


def test_generation_is_refused_by_models_that_cannot(client: httpx.Client) -> None:
    response = client.post("/v1/models/question-type/generate", json={"prompt": "a"})
    assert refused(response, 422, naming="language")["code"] == "task_mismatch"


@pytest.mark.parametrize("framed", [True, False])
def test_a_body_of_200_megabytes_is_refused(client: httpx.Client, framed: bool) -> None:
    def body() -> Iterator[bytes]:
        for _ in range(200):
            yield b" " * 1024 * 1024

    headers = {"Content-Length": str(200 * 1024 * 1024)} if framed else {}
    response = client.post(NUMBERS, content=body(), headers=headers)
    refused(response, 413, naming="RECUR_MAX_BODY_BYTES")


@pytest.mark.parametrize(
    ("method", "path", "body", "headers", "status"),
    [
        ("POST", NUMBERS, b"{", {}, 400),
        ("POST", NUMBERS, b"", {}, 400),
        ("POST", NUMBERS, b"[1]", {}, 400),
        ("POST", NUMBERS, b'{"inputs": [' + b"[" * 100_000, {}, 400),
        ("POST", NUMBERS, b'{"inputs": [[[1]]], "oops": 1}', {}, 400),
        ("POST", NUMBERS, b'{"inputs": ["\xff"]}', {}, 400),
        ("POST", NUMBERS, b"<x/>", {"Content-Type": "application/xml"}, 415),
        ("POST", NUMBERS, b"\x1f\x8b", {"Content-Encoding": "gzip"}, 415),
        ("PUT", NUMBERS, b"{}", {}, 405),
        ("GET", "/v1/nothing", b"", {}, 404),
        ("POST", PREDICT.format("nobody"), b'{"inputs": [[[1]]]}', {}, 404),
        ("POST", PREDICT.format("char-lm@99"), b'{"inputs": ["a"]}', {}, 404),
        ("POST", PREDICT.format("..%2Fetc"), b'{"inputs": ["a"]}', {}, 404),
        ("GET", "/v1/sessions/nobody", b"", {}, 404),
        ("POST", "/v1/sessions/nobody/steps", b'{"inputs": [[1]]}', {}, 404),
        ("POST", "/v1/models/question-type/sessions", b"", {}, 422),
    ],
)
def test_bad_requests_get_the_contracts_error(
    client: httpx.Client,
    method: str,
    path: str,
    body: bytes,
    headers: dict[str, str],
    status: int,
) -> None:
    response = client.request(method, path, content=body, headers=headers)
    assert response.status_code == status, response.text
    assert set(response.json()["error"]) == {"message", "type", "code", "param", "details"}


def test_a_bad_step_leaves_the_session_where_it_was(client: httpx.Client) -> None:
    opened = client.post("/v1/models/oil-temperature/sessions").json()
    url = f"/v1/sessions/{opened['session_id']}"
    assert client.post(f"{url}/steps", json={"inputs": [ROW]}).json()["step"] == 1
    before = client.get(url).json()
    for inputs in ([], [ROW[:3]], [[*ROW[:6], 1e300]], "text", [ROW] * 501):
        assert client.post(f"{url}/steps", json={"inputs": inputs}).status_code in (413, 422)
    huge = [[3e38] * 7] * 3
    overflowing = client.post(f"{url}/steps", json={"inputs": huge})
    assert overflowing.status_code == 422, overflowing.text
    after = client.get(url).json()
    assert (after["step"], after["state_norms"]) == (before["step"], before["state_norms"])
    reply = client.post(f"{url}/steps", json={"inputs": [ROW], "step": 1})
    assert reply.json()["step"] == 2

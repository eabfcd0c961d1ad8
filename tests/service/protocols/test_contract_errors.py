"""Whatever a client sends, it hears what was wrong, in one shape, with field and limit."""

import asyncio
import resource
from collections.abc import AsyncIterator
from typing import Any

import httpx
import orjson
import pytest
from fastapi import HTTPException
from hypothesis import given, settings
from hypothesis import strategies as st

from service.protocols.native.schemas import GenerateBody, OpenBody, PredictBody, StepBody
from tests.service.protocols.fakes import FakeDataPlane
from tests.service.protocols.serving import CONFIG, client_of, make_app, served

PREDICT = "/v1/models/sums/predict"
GENERATE = "/v1/models/sums/generate"
SESSIONS = "/v1/models/sums/sessions"
STEPS = "/v1/sessions/mine/steps"


def check_error(reply: httpx.Response) -> dict[str, Any]:
    """The error, after its shape was found to be the contract's."""
    assert reply.headers["content-type"] == "application/json"
    assert reply.headers["x-request-id"]
    assert set(reply.json()) == {"error"}
    error = reply.json()["error"]
    assert set(error) == {"message", "type", "code", "param", "details"}
    assert error["message"]
    return error


async def send(method: str, path: str, body: bytes, **headers: str) -> httpx.Response:
    async with client_of(make_app(FakeDataPlane())) as client:
        await client.post(SESSIONS, json={"session_id": "mine"})
        return await client.request(method, path, content=body, headers=headers)


@pytest.mark.parametrize(
    ("path", "body", "status", "code", "param"),
    [
        (PREDICT, b"", 400, "malformed_request", None),
        (PREDICT, b"null", 400, "malformed_request", None),
        (PREDICT, b"[[[1, 2]]]", 400, "malformed_request", None),
        (PREDICT, b'{"inputs": [[[1, 2]]', 400, "malformed_request", None),
        (PREDICT, b'{"inputs": [[[1, NaN]]]}', 400, "malformed_request", "inputs[0][0][1]"),
        (PREDICT, b'{"inputs": [[[1, Infinity]]]}', 400, "malformed_request", "inputs[0][0][1]"),
        (PREDICT, b"[" * 100_000, 400, "malformed_request", None),
        (PREDICT, b'{"inputs": ' + b"[" * 100_000, 400, "malformed_request", None),
        (PREDICT, b'{"inputs": ["\xff"]}', 400, "malformed_request", "inputs[0]"),
        (PREDICT, b'{"inputs": [[[1, 2]]], "input": 1}', 400, "malformed_request", "input"),
        (PREDICT, b'{"inputs": [[[1, 2]]], "raw": "yes"}', 400, "malformed_request", "raw"),
        (PREDICT, b'{"inputs": 3}', 400, "malformed_request", "inputs"),
        (PREDICT, b'{"inputs": []}', 422, "invalid_input", "inputs"),
        (PREDICT, b'{"inputs": [[]]}', 422, "invalid_input", "inputs[0]"),
        (PREDICT, b'{"inputs": [""]}', 422, "invalid_input", "inputs[0]"),
        (PREDICT, b'{"inputs": [[[1, 2], [3]]]}', 422, "invalid_input", "inputs[0][1]"),
        (PREDICT, b'{"inputs": [[[[1, 2]]]]}', 422, "invalid_input", "inputs[0]"),
        (PREDICT, b'{"inputs": [3]}', 422, "invalid_input", "inputs[0]"),
        (PREDICT, b'{"inputs": [[[1, 1e39]]]}', 422, "invalid_input", "inputs[0][0][1]"),
        (PREDICT, b'{"inputs": [[[1]]], "deadline_ms": -1}', 422, "invalid_input", "deadline_ms"),
        (STEPS, b"{}", 400, "malformed_request", "inputs"),
        (STEPS, b'{"inputs": []}', 422, "invalid_input", "inputs"),
        (STEPS, b'{"inputs": [[1, 2]], "step": -1}', 422, "invalid_input", "step"),
        (STEPS, b'{"inputs": [[1, 2]], "step": "0"}', 400, "malformed_request", "step"),
        (STEPS, b'{"inputs": [[1, 2]], "step": 7}', 409, "step_mismatch", "step"),
        (GENERATE, b'{"temperature": -1}', 422, "invalid_input", "temperature"),
        (GENERATE, b'{"temperature": "hot"}', 400, "malformed_request", "temperature"),
        (SESSIONS, b'{"ttl_seconds": 0}', 422, "invalid_input", "ttl_seconds"),
        (SESSIONS, b'{"session_id": "mine"}', 409, "session_exists", "session_id"),
        ("/v1/models/none/predict", b'{"inputs": ["a"]}', 404, "model_not_found", "model"),
        ("/v1/sessions/none/steps", b'{"inputs": [[1]]}', 404, "session_not_found", "session_id"),
        ("/v1/sessions/none/fork", b"", 404, "session_not_found", "session_id"),
        ("/v1/nothing", b"{}", 404, "route_not_found", None),
        ("/v1/models/", b"{}", 404, "route_not_found", None),
        ("/", b"{}", 404, "route_not_found", None),
    ],
)
async def test_each_mistake_has_its_status_its_code_and_its_field(
    path: str, body: bytes, status: int, code: str, param: str | None
):
    reply = await send("POST", path, body)
    error = check_error(reply)
    assert (reply.status_code, error["code"], error["param"]) == (status, code, param)


async def test_a_wrong_method_is_told_the_right_ones():
    reply = await send("PUT", "/v1/sessions/mine", b"{}")
    error = check_error(reply)
    assert (reply.status_code, error["code"]) == (405, "method_not_allowed")
    assert set(reply.headers["allow"].split(", ")) == {"GET", "HEAD", "DELETE"}
    assert set(error["details"]["allow"]) == {"GET", "HEAD", "DELETE"}


@pytest.mark.parametrize(
    ("header", "value"),
    [
        ("Content-Type", "application/octet-stream"),
        ("Content-Type", "multipart/form-data; boundary=x"),
        ("Content-Encoding", "gzip"),
    ],
)
async def test_a_body_that_is_not_json_is_told_what_was_sent_and_what_is_read(
    header: str, value: str
):
    reply = await send("POST", PREDICT, b'{"inputs": [[[1, 2]]]}', **{header: value})
    error = check_error(reply)
    assert (reply.status_code, error["param"]) == (415, header)
    assert error["details"]["sent"] == value.partition(";")[0]
    assert error["details"]["accepted"]


@pytest.mark.parametrize(
    "media_type",
    [
        "application/json; charset=utf-8",
        "Application/JSON",
        "application/vnd.acme+json",
        "application/x-www-form-urlencoded",
        "text/plain",
        "",
    ],
)
async def test_what_clients_call_json_is_read(media_type: str):
    body = b'{"inputs": [[[1, 2]]]}'
    reply = await send("POST", PREDICT, body, **{"Content-Type": media_type})
    assert reply.status_code == 200


async def test_a_bad_deadline_header_is_named():
    body = b'{"inputs": [[[1, 2]]]}'
    for value, status in (("soon", 400), ("nan", 422), ("-5", 422), ("inf", 422)):
        reply = await send("POST", PREDICT, body, **{"Recur-Deadline-Ms": value})
        error = check_error(reply)
        assert (reply.status_code, error["param"]) == (status, "Recur-Deadline-Ms")


async def test_a_crash_is_told_without_its_inside():
    reply = await send("POST", PREDICT, b'{"inputs": ["crash"]}')
    error = check_error(reply)
    assert (reply.status_code, error["code"]) == (500, "internal_error")
    assert error["details"]["request_id"] == reply.headers["x-request-id"]
    assert "secret" not in reply.text


async def test_a_refusal_of_the_framework_speaks_the_contracts_shape():
    app = make_app(FakeDataPlane())

    @app.get("/framework")
    async def framework(number: int) -> int:
        raise HTTPException(418 if number else 502, "odd")

    async with client_of(app) as client:
        wrong = await client.get("/framework", params={"number": "one"})
        teapot = await client.get("/framework", params={"number": 1})
        gateway = await client.get("/framework", params={"number": 0})
    assert (wrong.status_code, check_error(wrong)["param"]) == (400, "number")
    assert (teapot.status_code, check_error(teapot)["code"]) == (418, "bad_request")
    assert (gateway.status_code, check_error(gateway)["code"]) == (502, "internal_error")


MEGABYTE = bytes(2**20)


def check_too_large(reply: httpx.Response) -> None:
    error = check_error(reply)
    assert (reply.status_code, error["code"]) == (413, "too_large")
    assert "RECUR_MAX_BODY_BYTES" in error["message"]
    assert error["details"]["limit"] == CONFIG.max_body_bytes
    assert reply.headers["connection"] == "close"


async def test_a_body_of_200_megabytes_is_refused_unread():
    """By its declared length, and counted where none is declared."""

    async def body() -> AsyncIterator[bytes]:
        for _ in range(200):
            yield MEGABYTE

    before = peak_bytes()
    with served(make_app(FakeDataPlane())) as (host, port):
        async with httpx.AsyncClient(base_url=f"http://{host}:{port}") as client:
            headers = {"Content-Length": str(200 * 2**20)}
            check_too_large(await client.post(PREDICT, content=body(), headers=headers))
            check_too_large(await client.post(PREDICT, content=body()))
    assert peak_bytes() - before < 64 * 2**20


def peak_bytes() -> int:
    """The most memory this process, server and client both, ever had."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


async def test_a_body_at_the_limit_is_read_and_one_byte_more_is_not():
    body = b'{"inputs": [[[1, 2]]]}'.ljust(CONFIG.max_body_bytes)
    assert (await send("POST", PREDICT, body)).status_code == 200
    assert (await send("POST", PREDICT, body + b" ")).status_code == 413


SCHEMAS = (GenerateBody, OpenBody, PredictBody, StepBody)
FIELDS = sorted({name for schema in SCHEMAS for name in schema.__struct_fields__})
SCALARS = st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text()
JSON = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(FIELDS), inner),
    max_leaves=20,
)


def to_json(value: Any) -> bytes:
    try:
        return orjson.dumps(value)
    except TypeError:  # integers beyond 64 bits, lone surrogates
        return repr(value).encode("utf-8", "surrogatepass")


@settings(deadline=None, max_examples=60)
@given(
    body=st.binary(max_size=50) | JSON.map(to_json),
    path=st.sampled_from([PREDICT, GENERATE, SESSIONS, STEPS, "/v1/sessions/mine/generate"]),
)
def test_no_body_whatsoever_is_the_servers_fault(body: bytes, path: str):
    reply = asyncio.run(send("POST", path, body))
    if reply.status_code not in (200, 201):
        assert 400 <= reply.status_code < 500
        check_error(reply)

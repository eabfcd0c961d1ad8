"""The routes' own doings: ids, replays, deadlines, health, metrics, the line in the log."""

import asyncio
import hashlib
import json
import re
import time
from typing import Any

import httpx
import pytest
import structlog
from prometheus_client import CollectorRegistry
from starlette.types import Message

from service.protocols.auth import Authenticator
from service.protocols.health import Health, HealthState
from service.protocols.operation import HttpConfig
from service.telemetry.logging import merge_request
from service.telemetry.metrics import Metrics
from tests.service.garbage import garbage_of
from tests.service.protocols.fakes import FakeDataPlane
from tests.service.protocols.serving import client_of, make_app, ready_health

PREDICT = "/v1/models/sums/predict"
FINE = {"inputs": [[[1, 2]]]}


async def test_a_bad_sequence_fails_alone_and_in_its_place():
    async with client_of(make_app(FakeDataPlane())) as client:
        body = {"inputs": [[[1, 2], [3, 4]], [[1, 2], [3]], [[0.1, 0]]]}
        reply = await client.post("/v1/models/sums@3/predict", json=body)
    assert reply.status_code == 200
    first, second, third = reply.json()["predictions"]
    assert first == {"forecast": [[4.0, 6.0]]}
    assert second["error"]["param"] == "inputs[1][1]"
    assert third == {"forecast": [[0.1, 0.0]]}
    assert reply.json()["usage"] == {"sequences": 3, "steps": 3}
    assert (reply.json()["model"], reply.json()["version"]) == ("sums", 3)


async def test_raw_adds_the_tensors():
    async with client_of(make_app(FakeDataPlane())) as client:
        reply = await client.post(PREDICT, json=FINE | {"raw": True})
    assert reply.json()["predictions"][0]["outputs"] == {"forecast": [[[1.0, 2.0]]]}


async def test_an_explanation_is_told_where_it_is_asked_for():
    async with client_of(make_app(FakeDataPlane())) as client:
        reply = await client.post(PREDICT, json=FINE | {"explain": True})
        plain = await client.post(PREDICT, json=FINE)
    assert reply.json()["predictions"][0]["attention"] == {"weights": [1.0]}
    assert "attention" not in plain.json()["predictions"][0]


async def test_a_step_asked_again_is_answered_with_the_same_bytes():
    async with client_of(make_app(FakeDataPlane())) as client:
        opened = await client.post("/v1/models/sums/sessions", json={"ttl_seconds": 60})
        assert opened.status_code == 201
        steps = f"{opened.headers['location']}/steps"
        body = {"inputs": [[1, 2], [3, 4]], "step": 0}
        once = await client.post(steps, json=body)
        again = await client.post(steps, json=body)
        after = await client.post(steps, json=body | {"step": 2})
    assert once.json() == {
        "session_id": opened.json()["session_id"],
        "step": 2,
        "prediction": {"forecast": [[4.0, 6.0]]},
        "expires_at": "2026-01-01T00:10:01.000Z",
    }
    assert again.content == once.content
    assert again.headers["recur-replayed"] == "true"
    assert "recur-replayed" not in once.headers
    assert after.json()["prediction"] == {"forecast": [[8.0, 12.0]]}


async def test_many_sessions_step_in_one_request_each_with_its_own_status():
    async with client_of(make_app(FakeDataPlane())) as client:
        for name in ("a", "b"):
            await client.post("/v1/models/sums/sessions", json={"session_id": name})
        rows = [
            {"session_id": "a", "inputs": [[1, 2]], "step": 0},
            {"session_id": "nobody", "inputs": [[1, 2]]},
            {"session_id": "b", "inputs": [[1], [2, 3]]},
            {"session_id": "b", "inputs": [[3, 4], [5, 6]], "step": 0},
        ]
        first = await client.post("/v1/sessions:step", json={"steps": rows})
        again = await client.post("/v1/sessions:step", json={"steps": rows})
    assert first.status_code == 200
    one, two, three, four = first.json()["results"]
    expires_at = "2026-01-01T00:10:01.000Z"
    forecast = {"forecast": [[1.0, 2.0]]}
    assert one == {"session_id": "a", "step": 1, "prediction": forecast, "expires_at": expires_at}
    assert (two["session_id"], two["error"]["code"]) == ("nobody", "session_not_found")
    assert (three["session_id"], three["error"]["param"]) == ("b", "steps[2].inputs[1]")
    assert (four["step"], four["prediction"]) == (2, {"forecast": [[8.0, 10.0]]})
    assert first.json()["usage"] == {"chunks": 4, "steps": 3}
    assert again.json()["results"][0] == one | {"replayed": True}
    assert again.json()["usage"] == {"chunks": 4, "steps": 0}


async def test_a_request_whose_every_step_fails_has_the_first_ones_status():
    async with client_of(make_app(FakeDataPlane())) as client:
        body = {"steps": [{"session_id": "nobody", "inputs": [[1, 2]]}]}
        reply = await client.post("/v1/sessions:step", json=body)
    assert (reply.status_code, reply.json()["error"]["code"]) == (404, "session_not_found")


async def test_a_session_lives_from_open_to_delete():
    async with client_of(make_app(FakeDataPlane())) as client:
        body = {"session_id": "mine", "metadata": {"a": "b"}}
        opened = (await client.post("/v1/models/sums/sessions", json=body)).json()
        assert opened["metadata"] == {"a": "b"}
        assert (await client.get("/v1/sessions/mine")).json() == opened
        fork = await client.post("/v1/sessions/mine/fork", json={"session_id": "other"})
        assert fork.status_code == 201
        listed = (await client.get("/v1/sessions")).json()
        assert [info["session_id"] for info in listed["data"]] == ["mine", "other"]
        ended = await client.delete("/v1/sessions/mine")
        assert (ended.status_code, ended.json()) == (200, opened)
        assert (await client.get("/v1/sessions/mine")).status_code == 404


async def test_the_models_are_listed_in_openais_shape():
    async with client_of(make_app(FakeDataPlane())) as client:
        listed = (await client.get("/v1/models")).json()
        one = (await client.get("/v1/models/sums")).json()
    assert listed == {"object": "list", "data": [one]}
    assert one.items() >= {"id": "sums", "object": "model", "created": 1767225600}.items()
    assert one["state"][0]["input"] == "total"


@pytest.mark.parametrize("sent", ["mine-1", "x" * 128, "a b"])
async def test_a_sane_request_id_comes_back(sent: str):
    async with client_of(make_app(FakeDataPlane())) as client:
        for path in ("/v1/models", "/nowhere", "/healthz/live"):
            reply = await client.get(path, headers={"X-Request-Id": sent})
            assert reply.headers["x-request-id"] == sent


@pytest.mark.parametrize("sent", ["", "x" * 129, "ä", "a\tb"])
async def test_an_odd_request_id_is_replaced(sent: str):
    async with client_of(make_app(FakeDataPlane())) as client:
        reply = await client.get("/v1/models", headers={"X-Request-Id": sent.encode()})
        other = await client.get("/v1/models", headers={"X-Request-Id": sent.encode()})
    assert re.fullmatch(r"[0-9a-f]{16}-[0-9a-f]+", reply.headers["x-request-id"])
    assert reply.headers["x-request-id"] != other.headers["x-request-id"]


@pytest.mark.parametrize(
    ("body", "headers", "seconds"),
    [
        ({}, {}, 30.0),
        ({}, {"Recur-Deadline-Ms": "5000"}, 5.0),
        ({"deadline_ms": 2500}, {"Recur-Deadline-Ms": "5000"}, 2.5),
    ],
)
async def test_the_bodys_deadline_goes_before_the_headers_and_that_before_the_default(
    body: dict[str, object], headers: dict[str, str], seconds: float
):
    plane = FakeDataPlane()
    app = make_app(plane, config=HttpConfig(default_deadline_seconds=30.0))
    before = time.monotonic()
    async with client_of(app) as client:
        await client.post(PREDICT, json=FINE | body, headers=headers)
    (call,) = plane.calls
    assert call.deadline is not None
    assert before <= call.deadline - seconds <= time.monotonic()
    assert (call.tenant, call.protocol) == ("public", "native")


@pytest.mark.parametrize("state", [HealthState.STARTING, HealthState.DRAINING])
async def test_new_work_waits_for_readiness_and_what_only_looks_does_not(state: HealthState):
    health = ready_health()
    health.state = state
    async with client_of(make_app(FakeDataPlane(), health=health)) as client:
        refused = await client.post(PREDICT, json=FINE)
        assert refused.status_code == 503
        assert refused.json()["error"]["code"] == state.value
        assert int(refused.headers["retry-after"]) >= 1
        ready = await client.get("/healthz/ready")
        assert (ready.status_code, ready.json()["error"]["code"]) == (503, state.value)
        assert (await client.get("/healthz/live")).json() == {"live": True}
        assert (await client.get("/v1/models")).status_code == 200


async def test_readiness_is_that_of_every_model():
    models = {"sums": "ready", "other": "loading"}
    health = Health(lambda: models)
    health.state = HealthState.READY
    async with client_of(make_app(FakeDataPlane(), health=health)) as client:
        waiting = await client.get("/healthz/ready")
        models["other"] = "ready"
        ready = await client.get("/healthz/ready")
    assert (waiting.status_code, waiting.json()["error"]["code"]) == (503, "starting")
    assert waiting.json()["error"]["details"] == {"models": {"sums": "ready", "other": "loading"}}
    assert (ready.status_code, ready.json()) == (200, {"ready": True, "models": models})


async def test_work_in_flight_outlives_the_start_of_draining():
    health = ready_health()
    plane = FakeDataPlane()
    async with client_of(make_app(plane, health=health)) as client:
        body = {"prompt": "pause be"}
        work = asyncio.create_task(client.post("/v1/models/sums/generate", json=body))
        assert await asyncio.to_thread(plane.entered.wait, 5.0)
        health.state = HealthState.DRAINING
        assert (await work).status_code == 200


async def test_requests_are_counted_by_outcome_with_known_models_only():
    metrics = Metrics(CollectorRegistry())
    async with client_of(make_app(FakeDataPlane(), metrics=metrics)) as client:
        await client.post(PREDICT, json=FINE)
        await client.post(PREDICT, json={"inputs": ["crash"]})
        await client.post("/v1/models/sums@latest/predict", json={"inputs": []})
        await client.post("/v1/models/evil%22/predict", json=FINE)
        await client.post("/v1/models/sums/generate", json={"prompt": "a fail", "stream": True})
        await client.get("/v1/nowhere")
        await client.get("/healthz/live")
    counts = {
        (labels["protocol"], labels["model"], labels["outcome"]): sample.value
        for family in metrics.requests.collect()
        for sample in family.samples
        if sample.name == "recur_requests_total"
        for labels in [sample.labels]
    }
    assert counts == {
        ("native", "sums", "ok"): 1,
        ("native", "sums", "internal_error"): 1,
        ("native", "sums", "invalid_input"): 1,
        ("native", "unknown", "model_not_found"): 1,
        ("native", "sums", "model_failed"): 1,
        ("native", "unknown", "route_not_found"): 1,
    }


async def test_metrics_come_in_both_formats():
    async with client_of(make_app(FakeDataPlane())) as client:
        await client.post(PREDICT, json=FINE)
        plain = await client.get("/metrics")
        accept = {"Accept": "application/openmetrics-text; version=1.0.0"}
        open_metrics = await client.get("/metrics", headers=accept)
    line = 'recur_requests_total{model="sums",outcome="ok",protocol="native"} 1.0'
    assert plain.headers["content-type"].startswith("text/plain")
    assert line in plain.text
    assert open_metrics.headers["content-type"].startswith("application/openmetrics-text")
    assert open_metrics.text.endswith("# EOF\n")


async def test_each_request_leaves_one_line_that_can_be_found_by_its_id():
    keys = [("acme", hashlib.sha256(b"key").hexdigest())]
    app = make_app(FakeDataPlane(), auth=Authenticator(keys))
    processors = [merge_request]
    with structlog.testing.capture_logs(processors) as lines:
        async with client_of(app) as client:
            headers = {"X-Api-Key": "key", "X-Request-Id": "mine"}
            await client.post(PREDICT, json=FINE, headers=headers)
    (line,) = lines
    assert line.pop("seconds") >= 0
    assert line == {
        "event": "request answered",
        "log_level": "info",
        "method": "POST",
        "path": "/v1/models/{model}/predict",
        "status": 200,
        "request_id": "mine",
        "tenant": "acme",
        "model": "sums",
        "outcome": "ok",
    }


async def test_a_crash_leaves_its_traceback_under_the_requests_id():
    processors = [merge_request]
    with structlog.testing.capture_logs(processors) as lines:
        async with client_of(make_app(FakeDataPlane())) as client:
            headers = {"X-Request-Id": "mine"}
            await client.post(PREDICT, json={"inputs": ["crash"]}, headers=headers)
    failed, answered = lines
    assert (failed["event"], failed["request_id"]) == ("request failed", "mine")
    assert failed["exc_info"]
    assert (answered["status"], answered["outcome"]) == (500, "internal_error")


async def test_a_quiet_configuration_leaves_no_line():
    app = make_app(FakeDataPlane(), config=HttpConfig(access_log=False))
    with structlog.testing.capture_logs() as lines:
        async with client_of(app) as client:
            reply: httpx.Response = await client.post(PREDICT, json=FINE)
    assert reply.status_code == 200
    assert lines == []


async def test_head_is_get_without_its_body():
    async with client_of(make_app(FakeDataPlane())) as client:
        assert (await client.head("/v1/models")).status_code == 200


@pytest.mark.parametrize(
    "inputs",
    [[[[1, 2]]], [[["x"]]], [[["x"]], [[1, 2]]], [[[1], [1, 2]]], ["fail"], 3, [1] * 100_000],
    ids=["answered", "wrong", "one wrong", "ragged", "failed", "malformed", "too many"],
)
async def test_no_answer_leaves_anything_to_the_collector(inputs: Any):
    assert await garbage_left_at(PREDICT, json.dumps({"inputs": inputs}).encode()) == 0


@pytest.mark.parametrize("path", ["/v1/nowhere", "/v1/models"], ids=["path", "method"])
async def test_what_the_framework_refuses_leaves_nothing_to_the_collector(path: str):
    assert await garbage_left_at(path, b"") == 0


async def garbage_left_at(path: str, body: bytes) -> int:
    app = make_app(FakeDataPlane())

    async def request() -> None:
        received = iter([{"type": "http.request", "body": body}])

        async def receive() -> Message:
            return next(received)

        async def send(_: Message) -> None:
            return

        await app({"type": "http", "method": "POST", "path": path, "headers": []}, receive, send)

    return await garbage_of(request)

"""The document tells of every route, every status, and the bodies that are really sent."""

from typing import Any

import msgspec
import pytest

from service.protocols.http import OPERATIONS
from service.protocols.native.schemas import (
    GenerateReply,
    ModelList,
    PredictReply,
    SessionList,
    SessionReply,
    StepReply,
    StepsReply,
)
from tests.service.protocols.fakes import FakeDataPlane
from tests.service.protocols.serving import client_of, make_app


def document() -> dict[str, Any]:
    return make_app(FakeDataPlane()).openapi()


def references(value: Any) -> set[str]:
    match value:
        case {"$ref": ref}:
            return {ref}
        case dict():
            return set().union(*map(references, value.values()))
        case list():
            return set().union(*map(references, value))
        case _:
            return set()


def test_every_route_of_the_application_is_documented():
    app = make_app(FakeDataPlane())
    own = {"/openapi.json", "/docs", "/docs/oauth2-redirect", "/redoc"}
    paths = {route.path for route in app.routes} - own
    assert paths == set(document()["paths"])
    assert {
        "/v1/models/{model}/predict",
        "/v1/models/{model}/generate",
        "/v1/sessions/{session_id}/steps",
        "/v1/sessions:step",
        "/v1/sessions/{session_id}/generate",
    } <= paths


def test_operation_ids_are_unique():
    names = [operation.name for operation in OPERATIONS]
    assert len(names) == len(set(names))


def test_every_reference_leads_somewhere():
    page = document()
    schemas = page["components"]["schemas"]
    assert references(page)
    for ref in references(page):
        assert ref.removeprefix("#/components/schemas/") in schemas


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.name)
def test_every_status_has_a_content_type_and_every_parameter_is_in_the_path(operation: Any):
    page = document()["paths"][operation.path][operation.method.lower()]
    assert {str(operation.status), *map(str, operation.failures)} == set(page["responses"])
    switching = {"101"}  # to another protocol: what follows is no content
    assert all(
        page["responses"][status]["content"] for status in set(page["responses"]) - switching
    )
    assert "500" in page["responses"]
    assert ("401" in page["responses"]) == operation.path.startswith("/v1/")
    assert ("503" in page["responses"]) >= operation.begins_work
    in_path = {p["name"] for p in page["parameters"] if p["in"] == "path"}
    assert in_path == {part[1:-1] for part in operation.path.split("/") if part.startswith("{")}


@pytest.mark.parametrize(
    ("method", "path", "body", "shape"),
    [
        ("POST", "/v1/models/sums/predict", b'{"inputs":[[[1,2]],[]],"raw":true}', PredictReply),
        ("POST", "/v1/models/sums/predict", b'{"inputs":["a"],"explain":true}', PredictReply),
        ("POST", "/v1/models/sums/generate", b'{"prompt":"a","logprobs":0}', GenerateReply),
        ("POST", "/v1/models/sums/sessions", b"{}", SessionReply),
        ("POST", "/v1/sessions/mine/steps", b'{"inputs":[[1,2]]}', StepReply),
        (
            "POST",
            "/v1/sessions:step",
            b'{"steps":[{"session_id":"mine","inputs":[[1,2]]},{"session_id":"x","inputs":"a"}]}',
            StepsReply,
        ),
        ("POST", "/v1/sessions/mine/generate", b"{}", GenerateReply),
        ("POST", "/v1/sessions/mine/fork", b"", SessionReply),
        ("GET", "/v1/sessions", b"", SessionList),
        ("GET", "/v1/models", b"", ModelList),
    ],
)
async def test_replies_have_the_documented_fields_and_no_others(
    method: str, path: str, body: bytes, shape: type[Any]
):
    async with client_of(make_app(FakeDataPlane())) as client:
        await client.post("/v1/models/sums/sessions", content=b'{"session_id": "mine"}')
        reply = await client.request(method, path, content=body)
        assert reply.status_code in (200, 201)
        read = msgspec.json.decode(reply.content, type=shape)
        assert msgspec.to_builtins(read) == reply.json()

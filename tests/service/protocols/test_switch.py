"""The switch finds what the framework's router would, and leaves it the rest."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.routing import Match

from service.protocols.exchange import Exchange
from service.protocols.http import OPERATIONS
from service.protocols.switch import Switch
from tests.service.protocols.fakes import FakeDataPlane
from tests.service.protocols.serving import make_app

ROUTES = make_app(FakeDataPlane()).routes
SWITCH = Switch(OPERATIONS)
SEGMENTS = ["", "v1", "models", "sessions", "sessions:step", "predict", "steps", "fork", "a", "a b"]


async def never() -> Any:
    raise AssertionError


async def nowhere(message: Any) -> None:
    raise AssertionError


def exchange(method: str, path: str) -> Exchange:
    scope = {"type": "http", "method": method, "path": path, "headers": []}
    return Exchange(scope, never, nowhere, arrived=0.0)


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.name)
def test_every_operation_is_found_with_what_its_path_says(operation: Any):
    asked = exchange(operation.method, operation.path.replace("{", "").replace("}", ""))
    assert SWITCH.find(asked) is operation
    assert all(name == value for name, value in asked.params.items())
    assert len(asked.params) == operation.path.count("{")


@given(
    method=st.sampled_from(["GET", "HEAD", "POST", "PUT", "DELETE"]),
    segments=st.lists(st.sampled_from(SEGMENTS), max_size=6),
)
def test_what_it_finds_is_what_the_router_finds(method: str, segments: list[str]):
    path = "/" + "/".join(segments)
    asked = exchange(method, path)
    found = SWITCH.find(asked)
    scope = {"type": "http", "method": method, "path": path, "headers": []}
    routes = [route for route in ROUTES if route.path.startswith(("/v1", "/healthz", "/metrics"))]
    matches = [(route, *route.matches(scope)) for route in routes]
    theirs = [(route.path, more) for route, match, more in matches if match is Match.FULL]
    if found is None:
        assert theirs == []
    else:
        assert theirs[0][0] == found.path
        assert theirs[0][1]["path_params"] == asked.params

"""With real models behind the wire: what a client leaves behind is stopped, and undone."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.e2e.server import serving
from tests.service.artifacts import save_babble

LONG = {"prompt": "To be", "max_tokens": 1_000_000}
STEPS = "/v1/sessions/mine/steps"
GENERATE = "/v1/sessions/mine/generate"


@pytest.fixture
def client(tmp_path: Path) -> Iterator[httpx.Client]:
    save_babble(tmp_path / "models")
    settings = {"max_tokens": "1000000"}
    with (
        serving(tmp_path / "models", tmp_path / "log", **settings) as server,
        httpx.Client(base_url=server.url, timeout=10.0) as client,
    ):
        client.post("/v1/models/babble/sessions", json={"session_id": "mine"})
        yield client


@pytest.mark.slow
def test_a_session_whose_streams_client_left_is_free_and_where_it_was(client: httpx.Client):
    with client.stream("POST", GENERATE, json=LONG | {"stream": True}) as reply:
        assert next(reply.iter_lines()).startswith("data: ")
    step = client.post(STEPS, json={"inputs": "a", "step": 0})
    assert (step.status_code, step.json()["step"]) == (200, 1)


@pytest.mark.slow
def test_a_session_whose_waiting_client_left_is_free_and_where_it_was(client: httpx.Client):
    with pytest.raises(httpx.ReadTimeout):
        client.post(GENERATE, json=LONG, timeout=0.2)
    step = client.post(STEPS, json={"inputs": "a", "step": 0})
    assert (step.status_code, step.json()["step"]) == (200, 1)

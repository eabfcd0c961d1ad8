"""A model of pairs behind a real server: the beams and streams of many clients."""

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import httpx
import numpy as np
import pytest

from service.artifact.beam import BeamParams
from tests.e2e.server import Server, serving
from tests.service.babel import LETTERS, save_babel
from tests.service.dataplane.translating import END, letters, searched

pytestmark = pytest.mark.slow

PREDICT, GENERATE = "/v1/models/babel/predict", "/v1/models/babel/generate"
NUM_CLIENTS, NUM_TURNS = 24, 5


@pytest.fixture(scope="module", params=["0", "2"], ids=["one process", "two fronts"])
def server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("translations")
    save_babel(folder / "models")
    with serving(folder / "models", folder / "log", http_workers=request.param) as server:
        yield server


def source(rng: np.random.Generator) -> list[int]:
    return rng.integers(2, len(LETTERS), rng.integers(1, 30)).tolist()


async def client_of_many(server: Server, seed: int) -> None:
    """Searches and streams in turn, each checked against the graphs in this process."""
    rng = np.random.default_rng(seed)
    async with httpx.AsyncClient(base_url=server.url, timeout=60) as client:
        for turn in range(NUM_TURNS):
            if (seed + turn) % 2:
                await check_search(client, rng)
            else:
                await check_stream(client, rng)


async def check_search(client: httpx.AsyncClient, rng: np.random.Generator) -> None:
    sources, width = [source(rng) for _ in range(4)], int(rng.integers(1, 6))
    body = {"inputs": sources, "beam_width": width, "length_penalty": 1.0, "max_tokens": 15}
    response = await client.post(PREDICT, json=body)
    assert response.status_code == 200, response.text
    params = BeamParams(END, width=width, length_penalty=1.0, max_tokens=15)
    for tokens, told in zip(sources, response.json()["predictions"], strict=True):
        best = searched(tokens, params)[0]
        assert told == {"text": letters(best.hypothesis.tokens), "score": best.score}


async def check_stream(client: httpx.AsyncClient, rng: np.random.Generator) -> None:
    tokens = source(rng)
    body = {"prompt": tokens, "max_tokens": 15, "stream": True}
    async with client.stream("POST", GENERATE, json=body) as response:
        events = [line async for line in response.aiter_lines() if line.startswith("data: ")]
    *pieces, done = (json.loads(event.removeprefix("data: ")) for event in events)
    best = searched(tokens, BeamParams(END, max_tokens=15))[0]
    assert [piece["text"] for piece in pieces] == [*letters(best.hypothesis.tokens)]
    assert done["choices"] == [{"index": 0, "finish_reason": best.reason}]


async def test_every_client_gets_what_a_beam_over_the_graphs_finds(server: Server) -> None:
    await asyncio.gather(*(client_of_many(server, seed) for seed in range(NUM_CLIENTS)))
    async with httpx.AsyncClient(base_url=server.url) as client:
        text = (await client.get("/metrics")).text
    assert 'recur_model_info{device="cpu",model="babel",task="seq2seq",version="1"} 1.0' in text
    assert value_of('recur_tokens_total{model="babel"}', text) > NUM_CLIENTS


def test_what_cannot_be_is_refused_by_the_fields_name(server: Server) -> None:
    cases: list[tuple[str, dict[str, Any], str]] = [
        (GENERATE, {"prompt": "bad", "stream": True, "beam_width": 2}, "beam_width"),
        (PREDICT, {"inputs": ["bad"], "beam_width": 1000}, "beam_width"),
        (GENERATE, {"stream": True}, "prompt"),
    ]
    for path, body, param in cases:
        response = httpx.post(f"{server.url}{path}", json=body)
        assert response.status_code == 422
        assert response.json()["error"]["param"] == param
    refused = httpx.post(f"{server.url}/v1/models/babel/sessions")
    assert refused.json()["error"]["code"] == "model_has_no_state"


def value_of(sample: str, text: str) -> float:
    (line,) = [line for line in text.splitlines() if line.startswith(sample)]
    return float(line.rpartition(" ")[2])

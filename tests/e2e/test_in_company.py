"""A session stepped one step at a time is one prediction, bit for bit, with 200 others about."""

import asyncio
import itertools
import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from service.artifact.artifact import load_artifact
from service.artifact.manifest import Task
from service.registry.disk import scan
from tests.e2e.server import ROOT, Server, serving

pytestmark = pytest.mark.slow

MODELS = ROOT / "models"
NUM_OTHERS = 200
NUM_STEPS = 30


@cache
def steps_of_probe(name: str) -> np.ndarray:
    folder = MODELS / name / str(scan(MODELS)[name][-1])
    probe = load_artifact(folder).probe
    return probe.inputs[np.arange(probe.inputs.shape[1]) < probe.lengths[:, None]]


def inputs_of(name: str, rng: np.random.Generator, steps: int) -> list[Any]:
    """A sequence like the probe's: its steps, drawn again in another order."""
    known = steps_of_probe(name)
    return known[rng.integers(0, len(known), steps)].tolist()


@pytest.fixture(scope="module", params=["0", "2"], ids=["one process", "two fronts"])
def server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    log = tmp_path_factory.mktemp("company") / "log"
    with serving(MODELS, log, http_workers=request.param) as server:
        yield server


async def disturb(client: httpx.AsyncClient, model: dict[str, Any], seed: int) -> None:
    """One of the others: predictions of all lengths, streams and sessions, without end."""
    rng = np.random.default_rng(seed)
    name, causal = model["id"], model["causal"]
    url = f"/v1/models/{name}"
    session = None
    if causal and seed % 3 == 0:
        opened = await client.post(f"{url}/sessions")
        session = opened.json()["session_id"]
    for turn in itertools.count():
        steps = int(rng.integers(1, 80))
        values = inputs_of(name, rng, steps)
        if session is not None:
            response = await client.post(f"/v1/sessions/{session}/steps", json={"inputs": values})
        elif model["task"] == Task.LANGUAGE_MODELING and seed % 3 == 1:
            body = {"prompt": values, "max_tokens": 20, "seed": turn}
            response = await client.post(f"{url}/generate", json=body)
        else:
            response = await client.post(f"{url}/predict", json={"inputs": [values]})
        assert response.status_code == 200, response.text


def causal_models() -> list[str]:
    folders = ((name, MODELS / name / str(v[-1])) for name, v in scan(MODELS).items())
    return [name for name, folder in folders if _manifest(folder)["causal"]]


def _manifest(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "manifest.json").read_text())


@pytest.mark.parametrize("name", causal_models())
async def test_steps_of_a_session_equal_one_prediction_bit_for_bit(
    name: str, server: Server
) -> None:
    values = inputs_of(name, np.random.default_rng(0), NUM_STEPS)
    limits = httpx.Limits(max_connections=NUM_OTHERS + 10)
    async with httpx.AsyncClient(base_url=server.url, timeout=60, limits=limits) as client:
        models = (await client.get("/v1/models")).json()["data"]
        body = {"inputs": [values], "raw": True}
        alone = (await client.post(f"/v1/models/{name}/predict", json=body)).json()
        others = [
            asyncio.create_task(disturb(client, models[seed % len(models)], seed))
            for seed in range(NUM_OTHERS)
        ]
        try:
            session = (await client.post(f"/v1/models/{name}/sessions")).json()["session_id"]
            stepped = [
                await step(client, session, values[at : at + 1], at) for at in range(len(values))
            ]
            together = (await client.post(f"/v1/models/{name}/predict", json=body)).json()
        finally:
            for task in others:
                task.cancel()
            ended = await asyncio.gather(*others, return_exceptions=True)
    assert all(isinstance(end, asyncio.CancelledError) for end in ended), ended
    assert together == alone
    whole = alone["predictions"][0]
    for output, rows in whole["outputs"].items():
        seen = [row for reply in stepped for row in reply["prediction"]["outputs"][output]]
        assert seen == rows, output
    if "token_log_likelihoods" in whole:
        seen = [x for reply in stepped for x in reply["prediction"]["token_log_likelihoods"]]
        assert seen == whole["token_log_likelihoods"]


async def step(
    client: httpx.AsyncClient, session: str, values: list[Any], at: int
) -> dict[str, Any]:
    body = {"inputs": values, "step": at, "raw": True}
    response = await client.post(f"/v1/sessions/{session}/steps", json=body)
    assert response.status_code == 200, response.text
    reply = response.json()
    assert reply["step"] == at + 1
    return reply

"""A session stepped one step at a time is one prediction, bit for bit, with 200 others about."""

import asyncio
import itertools
import json
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from service.artifact.artifact import load_artifact
from service.artifact.tasks import Task
from service.registry.disk import scan
from tests.e2e.server import ROOT, Server, serving

pytestmark = pytest.mark.slow

MODELS = ROOT / "models"
NUM_OTHERS = 200
NUM_STEPS = 20


@cache
def steps_of_probe(name: str) -> np.ndarray:
    folder = MODELS / name / str(scan(MODELS)[name][-1])
    probe = load_artifact(folder).probe
    read = probe if probe.source is None else probe.source
    return read.inputs[np.arange(read.inputs.shape[1]) < read.lengths[:, None]]


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
    # A step of a thousand samples is a long text: the client is not what is tested.
    most = max(2, min(80, 2000 // steps_of_probe(name)[0].size))
    session = None
    if causal and seed % 3 == 0:
        opened = await client.post(f"{url}/sessions")
        session = opened.json()["session_id"]
    for turn in itertools.count():
        values = inputs_of(name, rng, int(rng.integers(1, most)))
        if session is not None:
            response = await client.post(f"/v1/sessions/{session}/steps", json={"inputs": values})
        elif model["task"] == Task.LANGUAGE_MODELING and seed % 3 == 1:
            body = {"prompt": values, "max_tokens": 20, "seed": turn}
            response = await client.post(f"{url}/generate", json=body)
        elif model["task"] == Task.SEQ2SEQ and seed % 3 == 1:
            body = {"prompt": values, "temperature": 1.0, "seed": turn, "stream": True}
            response = await client.post(f"{url}/generate", json=body)
        else:
            response = await client.post(f"{url}/predict", json={"inputs": [values]})
        assert response.status_code == 200, response.text


def models_that(fits: Callable[[dict[str, Any]], bool]) -> list[str]:
    """By what their manifests say."""
    folders = ((name, MODELS / name / str(v[-1])) for name, v in scan(MODELS).items())
    return [name for name, folder in folders if fits(_manifest(folder))]


def _manifest(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "manifest.json").read_text())


async def test_steps_of_sessions_equal_predictions_bit_for_bit(server: Server) -> None:
    """Of every causal model at once; and what is written for a text is the same in any company."""
    names = models_that(lambda manifest: manifest["causal"])
    writers = models_that(lambda manifest: manifest["task"] == Task.SEQ2SEQ)
    limits = httpx.Limits(max_connections=NUM_OTHERS + 10 * len(names))
    async with httpx.AsyncClient(base_url=server.url, timeout=60, limits=limits) as client:
        models = (await client.get("/v1/models")).json()["data"]
        alone = [await predict(client, name) for name in names]
        written_alone = [await translate(client, name) for name in writers]
        others = [
            asyncio.create_task(disturb(client, models[seed % len(models)], seed))
            for seed in range(NUM_OTHERS)
        ]
        try:
            stepped = await asyncio.gather(*(step_on(client, name) for name in names))
            together = [await predict(client, name) for name in names]
            written_together = [await translate(client, name) for name in writers]
        finally:
            for task in others:
                task.cancel()
            ended = await asyncio.gather(*others, return_exceptions=True)
    assert [end for end in ended if not isinstance(end, asyncio.CancelledError)] == []
    assert written_together == written_alone
    for name, one, other, replies in zip(names, alone, together, stepped, strict=True):
        assert other == one, name
        check_steps(name, one["predictions"][0], [reply["prediction"] for reply in replies])


def check_steps(name: str, whole: dict[str, Any], steps: list[dict[str, Any]]) -> None:
    """Each step's raw outputs, and scores of a language model, are a part of the whole's."""
    for output, rows in whole["outputs"].items():
        assert [row for one in steps for row in one["outputs"][output]] == rows, (name, output)
    if "token_log_likelihoods" in whole:
        seen = [x for one in steps for x in one["token_log_likelihoods"]]
        assert seen == whole["token_log_likelihoods"], name


def values_of(name: str) -> list[Any]:
    return inputs_of(name, np.random.default_rng(0), NUM_STEPS)


async def translate(client: httpx.AsyncClient, name: str) -> dict[str, Any]:
    inputs = [values_of(name)[:steps] for steps in (1, 7, NUM_STEPS)]
    response = await client.post(f"/v1/models/{name}/predict", json={"inputs": inputs})
    assert response.status_code == 200, response.text
    return response.json()


async def predict(client: httpx.AsyncClient, name: str) -> dict[str, Any]:
    body = {"inputs": [values_of(name)], "raw": True}
    response = await client.post(f"/v1/models/{name}/predict", json=body)
    assert response.status_code == 200, response.text
    return response.json()


async def step_on(client: httpx.AsyncClient, name: str) -> list[dict[str, Any]]:
    """The replies of a new session that is stepped one step at a time."""
    session = (await client.post(f"/v1/models/{name}/sessions")).json()["session_id"]
    values = values_of(name)
    return [await step(client, session, values[at : at + 1], at) for at in range(len(values))]


async def step(
    client: httpx.AsyncClient, session: str, values: list[Any], at: int
) -> dict[str, Any]:
    body = {"inputs": values, "step": at, "raw": True}
    response = await client.post(f"/v1/sessions/{session}/steps", json=body)
    assert response.status_code == 200, response.text
    reply = response.json()
    assert reply["step"] == at + 1
    return reply

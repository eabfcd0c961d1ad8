"""Networks of numbers from data to an answer: classes, values and scores, whole and in sessions."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import httpx
import numpy as np
import pytest
import torch
from safetensors.numpy import load

from tests.e2e.server import serving
from tests.training.tiny import publish_run
from training.recipes.steps import Folders
from training.recipes.tiny import tiny_oddities, tiny_waves, tiny_wear, tiny_wear_along

pytestmark = pytest.mark.slow

ROUNDING = 1e-4
"""float32 sums in another order: torch and ONNX Runtime, over a few dozen steps."""
ROWS = np.round(np.random.default_rng(0).normal(0, 2, (9, 2)), 3).tolist()


@dataclass(frozen=True, slots=True)
class Made:
    networks: dict[str, torch.nn.Module]
    client: httpx.Client

    def post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        response = self.client.post(path, json=body)
        assert response.status_code in (200, 201), response.text
        return response.json()

    def torch_outputs(self, model: str, rows: list[list[float]]) -> np.ndarray:
        with torch.no_grad():
            return self.networks[model](torch.tensor(rows)[None]).outputs[0].numpy()


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Made]:
    root = tmp_path_factory.mktemp("signals")
    folders = Folders(root / "runs", root / "models")
    networks: dict[str, torch.nn.Module] = {}
    for recipe in (tiny_waves(), tiny_wear(), tiny_wear_along(), tiny_oddities()):
        config = replace(recipe, optim=replace(recipe.optim, max_epochs=1))
        networks[config.name] = publish_run(config, folders).network
    with (
        serving(folders.models, root / "log") as server,
        httpx.Client(base_url=server.url, timeout=60) as client,
    ):
        yield Made(networks, client)


def test_a_value_comes_with_its_unit_and_is_the_last_step_s(made: Made):
    reply = made.post("/v1/models/tiny-wear/predict", {"inputs": [ROWS, ROWS[:4]]})
    expected = made.torch_outputs("tiny-wear", ROWS)[[-1, 3], 0]
    for prediction, value in zip(reply["predictions"], expected, strict=True):
        assert prediction["unit"] == "steps"
        assert prediction["value"] == pytest.approx(float(value), rel=ROUNDING, abs=ROUNDING)
    told = made.client.get("/v1/models/tiny-wear").json()
    assert told["task"] == "regression"
    assert told["output"]["name"] == "remaining_life"


def test_a_value_of_every_step_is_that_of_the_network_whole_and_in_a_session(made: Made):
    reply = made.post("/v1/models/tiny-wear-along/predict", {"inputs": [ROWS, ROWS[:4]]})
    expected = made.torch_outputs("tiny-wear-along", ROWS)[:, 0]
    whole, short = reply["predictions"]
    np.testing.assert_allclose(whole["values"], expected, rtol=ROUNDING, atol=ROUNDING)
    assert short["values"] == whole["values"][:4]
    assert (whole["unit"], "value" in whole) == ("steps", False)
    session = made.post("/v1/models/tiny-wear-along/sessions", {})["session_id"]
    told = [
        made.post(f"/v1/sessions/{session}/steps", {"inputs": chunk})["prediction"]["values"]
        for chunk in (ROWS[:1], ROWS[1:4], ROWS[4:])
    ]
    assert [value for values in told for value in values] == whole["values"]


def test_a_session_tells_its_value_anew_after_every_chunk(made: Made):
    session = made.post("/v1/models/tiny-wear/sessions", {})["session_id"]
    values = [
        made.post(f"/v1/sessions/{session}/steps", {"inputs": chunk})["prediction"]["value"]
        for chunk in (ROWS[:1], ROWS[1:4], ROWS[4:])
    ]
    whole = [
        made.post("/v1/models/tiny-wear/predict", {"inputs": [ROWS[:end]]})["predictions"][0][
            "value"
        ]
        for end in (1, 4, 9)
    ]
    assert values == whole


def test_a_value_travels_as_a_tensor(made: Made):
    accept = {"Accept": "application/vnd.safetensors"}
    body = {"inputs": [ROWS, ROWS[:4]]}
    response = made.client.post("/v1/models/tiny-wear/predict", json=body, headers=accept)
    expected = made.torch_outputs("tiny-wear", ROWS)[[-1, 3], 0]
    np.testing.assert_allclose(load(response.content)["value"], expected, atol=ROUNDING)


def test_a_class_is_told_along_the_way_and_its_difference_reaches_over_chunks(made: Made):
    session = made.post("/v1/models/tiny-waves/sessions", {})["session_id"]
    scores = made.torch_outputs("tiny-waves", ROWS)
    for at, row in enumerate(ROWS):
        reply = made.post(f"/v1/sessions/{session}/steps", {"inputs": [row], "step": at})
        expected = torch.softmax(torch.tensor(scores[at]), dim=0).tolist()
        seen = reply["prediction"]["probabilities"]
        assert [seen["slow"], seen["fast"]] == pytest.approx(expected, abs=ROUNDING)


def test_every_step_has_a_score_and_is_odd_above_the_threshold(made: Made):
    (whole,) = made.post("/v1/models/tiny-oddities/predict", {"inputs": [ROWS]})["predictions"]
    expected = made.torch_outputs("tiny-oddities", ROWS)[:, 0]
    assert whole["scores"] == pytest.approx(expected.tolist(), rel=ROUNDING, abs=ROUNDING)
    threshold = made.client.get("/v1/models/tiny-oddities").json()["output"]["threshold"]
    assert whole["anomalies"] == [score > threshold for score in whole["scores"]]
    assert "outputs" not in whole


def test_a_session_scores_the_steps_of_each_chunk_against_what_it_began_with(made: Made):
    session = made.post("/v1/models/tiny-oddities/sessions", {})["session_id"]
    scores: list[float] = []
    for chunk in (ROWS[:1], ROWS[1:4], ROWS[4:]):
        reply = made.post(f"/v1/sessions/{session}/steps", {"inputs": chunk})
        assert len(reply["prediction"]["anomalies"]) == len(chunk)
        scores += reply["prediction"]["scores"]
    (whole,) = made.post("/v1/models/tiny-oddities/predict", {"inputs": [ROWS]})["predictions"]
    assert scores == whole["scores"]


def test_scores_travel_as_tensors_one_sequence_after_the_other(made: Made):
    accept = {"Accept": "application/vnd.safetensors"}
    body = {"inputs": [ROWS, ROWS[:4]]}
    response = made.client.post("/v1/models/tiny-oddities/predict", json=body, headers=accept)
    tensors = load(response.content)
    expected = made.torch_outputs("tiny-oddities", ROWS)[:, 0]
    np.testing.assert_allclose(
        tensors["scores"], np.concatenate([expected, expected[:4]]), atol=ROUNDING
    )
    assert tensors["scores.lengths"].tolist() == [9, 4]
    assert tensors["anomalies"].dtype == np.bool_

"""Sound from data to an answer over HTTP: trained, exported, served, and streamed in any chunks."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import torch

from tests.e2e.server import serving
from tests.training.tiny import Published, publish_run
from training.data.synthetic import generated_tunes
from training.recipes.registry import find_recipe
from training.recipes.steps import Folders

pytestmark = pytest.mark.slow

TUNES, TONES = "tiny-tunes", "tiny-tones"
HOP, HOPS_A_SECOND = 80, 100


@dataclass(frozen=True, slots=True)
class Made:
    published: dict[str, Published]
    client: httpx.Client

    def post(self, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        response = self.client.post(path, json=body)
        assert response.status_code in (200, 201), response.text
        return response.json()

    def predict(self, name: str, samples: np.ndarray) -> dict[str, Any]:
        body = {"inputs": [samples.tolist()]}
        return self.post(f"/v1/models/{name}/predict", body)["predictions"][0]

    def logits(self, name: str, samples: np.ndarray) -> np.ndarray:
        """By torch, `[time, outputs]`."""
        hops = torch.from_numpy(samples[: len(samples) // HOP * HOP].reshape(1, -1, HOP))
        with torch.no_grad():
            return self.published[name].network(hops).outputs[0].numpy()


@pytest.fixture(scope="module", params=["0", "2"], ids=["one process", "two fronts"])
def made(
    request: pytest.FixtureRequest,
    models: tuple[Path, dict[str, Published]],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Made]:
    folder, published = models
    with (
        serving(
            folder, tmp_path_factory.mktemp("sound") / "log", http_workers=request.param
        ) as server,
        httpx.Client(base_url=server.url, timeout=60) as client,
    ):
        yield Made(published, client)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Published]]:
    root = tmp_path_factory.mktemp("speech")
    folders = Folders(root / "runs", root / "models")
    return folders.models, {
        name: publish_run(find_recipe(name), folders) for name in (TUNES, TONES)
    }


def tune(place: int) -> tuple[np.ndarray, str]:
    """Samples that are no whole number of hops, and what they hold."""
    data = generated_tunes(find_recipe(TUNES).data, 0)
    samples = data.split.tested.rows[place].flatten().numpy()
    labels = data.split.tested.targets[place].tolist()
    return samples[:-37].round(4), "".join(data.labels[label - 1] for label in labels)


def test_what_is_written_is_what_torch_hears_and_mostly_what_was_played(made: Made) -> None:
    right = 0
    for place in range(10):
        samples, played = tune(place)
        told = made.predict(TUNES, samples)
        path = made.logits(TUNES, samples).argmax(axis=1)
        starts = np.flatnonzero((path > 0) & (path != np.concatenate([[0], path[:-1]])))
        assert told["text"] == "".join("lmh"[label - 1] for label, _ in groupby(path) if label)
        assert told["times"] == ((starts + 1) / HOPS_A_SECOND).round(6).tolist()
        right += told["text"] == played
    assert right >= 7


def test_a_session_in_chunks_of_any_size_writes_what_a_prediction_does(made: Made) -> None:
    draw = np.random.default_rng(0)
    for place in range(4):
        samples, _ = tune(place)
        session = made.post(f"/v1/models/{TUNES}/sessions")["session_id"]
        told, sent = list[dict[str, Any]](), 0
        while sent < len(samples) - HOP:
            chunk = samples[sent : sent + int(draw.integers(HOP, 12 * HOP))]
            body = {"inputs": chunk.tolist(), "step": sent // HOP}
            reply = made.post(f"/v1/sessions/{session}/steps", body)
            told.append(reply["prediction"])
            sent += len(chunk)
            assert reply["step"] == sent // HOP
        whole = made.predict(TUNES, samples[:sent])
        assert "".join(chunk["text"] for chunk in told) == whole["text"]
        assert [time for chunk in told for time in chunk["times"]] == whole["times"]
        assert sum(chunk["score"] for chunk in told) == pytest.approx(whole["score"])


def test_a_classifier_answers_along_the_way_and_at_the_end_as_for_the_whole(made: Made) -> None:
    samples, _ = tune(0)
    session = made.post(f"/v1/models/{TONES}/sessions")["session_id"]
    for start in range(0, 1200, 150):
        chunk = samples[start : start + 150].tolist()
        reply = made.post(f"/v1/sessions/{session}/steps", {"inputs": chunk})
        assert reply["prediction"] == made.predict(TONES, samples[: start + 150])


def test_a_chunk_that_completes_no_hop_is_refused_by_name(made: Made) -> None:
    session = made.post(f"/v1/models/{TUNES}/sessions")["session_id"]
    refused = made.client.post(f"/v1/sessions/{session}/steps", json={"inputs": [0.0] * 30})
    assert refused.status_code == 422
    assert refused.json()["error"]["details"] == {"hop": HOP, "min": HOP}
    assert made.client.get(f"/v1/sessions/{session}").json()["step"] == 0


def test_the_model_says_how_it_is_to_be_spoken_to(made: Made) -> None:
    shown = made.client.get(f"/v1/models/{TUNES}").json()
    assert shown["task"] == "ctc"
    assert shown["input"] == {"kind": "audio", "sample_rate": 8000, "hop": HOP}
    assert shown["output"]["labels"] == ["l", "m", "h"]
    assert shown["output"]["step_seconds"] == 1 / HOPS_A_SECOND

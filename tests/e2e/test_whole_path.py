"""From data to an answer over HTTP: train, export, verify, publish, serve, compare with torch."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import torch

from service.artifact.artifact import load_artifact
from service.artifact.text import Text
from tests.e2e.server import serving
from tests.training.tiny import publish_run
from training.config import RunConfig, SearchConfig
from training.data.build import build as build_data
from training.data.pairs import TextPairs
from training.evaluation.pairs import Writer
from training.recipes.registry import find_recipe
from training.recipes.steps import Folders
from training.runner import PairRunner, open_runner

pytestmark = pytest.mark.slow

LANGUAGE = ("tiny-language", "tiny-vanilla", "tiny-min-gru", "tiny-ln-lstm")
QUESTIONS = ("tiny-questions", "tiny-cho", "tiny-ln-gru")
SERIES = ("tiny-series", "tiny-min-lstm")

# float32 sums in another order: torch and ONNX Runtime, over a few dozen steps.
ROUNDING = 1e-4


@dataclass(frozen=True, slots=True)
class Made:
    """A published model, and the torch network that it must equal."""

    network: torch.nn.Module
    folder: Path
    client: httpx.Client

    def post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        response = self.client.post(path, json=body)
        assert response.status_code in (200, 201), response.text
        return response.json()

    def torch_outputs(self, sequence: Any) -> np.ndarray:
        """The network's outputs for one sequence, without a batch."""
        return self._torch(sequence).outputs[0].numpy()

    def torch_attention(self, sequence: Any) -> np.ndarray:
        """Its weights `[heads, time]`."""
        return self._torch(sequence).attention[0].T.numpy()

    def _torch(self, sequence: Any) -> Any:
        inputs = torch.as_tensor(sequence)[None]
        with torch.no_grad():
            return self.network(inputs, torch.tensor([len(sequence)]))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Made]]:
    root = tmp_path_factory.mktemp("whole-path")
    folders = Folders(root / "runs", root / "models")
    names = (*LANGUAGE, *QUESTIONS, *SERIES, "tiny-wishes", "tiny-wishes-live", "tiny-pairs")
    configs = [one_epoch(find_recipe(name)) for name in names]
    published = {config.name: publish_run(config, folders) for config in configs}
    with (
        serving(folders.models, root / "log") as server,
        httpx.Client(base_url=server.url, timeout=60) as client,
    ):
        yield {name: Made(tiny.network, tiny.folder, client) for name, tiny in published.items()}


def one_epoch(config: RunConfig) -> RunConfig:
    return replace(config, optim=replace(config.optim, max_epochs=1))


@pytest.mark.parametrize("name", LANGUAGE)
def test_a_language_model_scores_as_torch_does_in_one_piece_and_in_a_session(
    made: dict[str, Made], name: str
) -> None:
    model = made[name]
    text = "the cat sleeps.\na bird sings.\n"
    ids = Text(model.folder / "tokenizer.json").encode(text)
    start = model.client.get(f"/v1/models/{name}").json()["output"]["start_token"]
    logits = model.torch_outputs([start, *ids[:-1]])
    expected = torch.log_softmax(torch.from_numpy(logits), -1).numpy()[np.arange(len(ids)), ids]
    whole = model.post(f"/v1/models/{name}/predict", {"inputs": [text, text[:5]]})
    scores = whole["predictions"][0]["token_log_likelihoods"]
    np.testing.assert_allclose(scores, expected, atol=ROUNDING)
    session = model.post(f"/v1/models/{name}/sessions", {})["session_id"]
    stepped: list[float] = []
    for character in text:
        reply = model.post(f"/v1/sessions/{session}/steps", {"inputs": character})
        stepped += reply["prediction"]["token_log_likelihoods"]
    assert stepped == scores


@pytest.mark.parametrize("name", LANGUAGE)
def test_greedy_text_is_what_torch_would_say(made: dict[str, Made], name: str) -> None:
    model = made[name]
    text = Text(model.folder / "tokenizer.json")
    start = model.client.get(f"/v1/models/{name}").json()["output"]["start_token"]
    prompt = "the dog"
    ids = [start, *text.encode(prompt).tolist()]
    for _ in range(20):
        ids.append(int(model.torch_outputs(ids)[-1].argmax()))
    body = {"prompt": prompt, "max_tokens": 20, "temperature": 0}
    reply = model.post(f"/v1/models/{name}/generate", body)
    assert reply["choices"][0]["text"] == text.decode(ids[1:])[len(prompt) :]


@pytest.mark.parametrize("name", QUESTIONS)
def test_a_classifier_of_whole_texts_answers_as_torch_does(
    made: dict[str, Made], name: str
) -> None:
    model = made[name]
    text = Text(model.folder / "tokenizer.json")
    questions = ["where is the tower", "who wrote it", "how many", "what city holds the old book"]
    reply = model.post(f"/v1/models/{name}/predict", {"inputs": questions})
    for question, prediction in zip(questions, reply["predictions"], strict=True):
        logits = model.torch_outputs(text.encode(question))
        expected = torch.softmax(torch.from_numpy(logits), -1).numpy()
        seen = list(prediction["probabilities"].values())
        np.testing.assert_allclose(seen, expected, atol=ROUNDING)
        labels = list(prediction["probabilities"])
        assert prediction["label"] == labels[int(expected.argmax())]
    refused = model.client.post(f"/v1/models/{name}/sessions")
    assert refused.status_code == 422
    assert refused.json()["error"]["code"] == "model_has_no_state"


@pytest.mark.parametrize("name", [*QUESTIONS, "tiny-wishes"])
def test_a_model_that_pools_explains_itself_as_torch_does(made: dict[str, Made], name: str) -> None:
    model = made[name]
    text = Text(model.folder / "tokenizer.json")
    questions = ["where is the tower", "who"]
    body = {"inputs": questions, "explain": True}
    reply = model.post(f"/v1/models/{name}/predict", body)
    for question, prediction in zip(questions, reply["predictions"], strict=True):
        ids = text.encode(question)
        expected = model.torch_attention(ids)
        seen = np.array(prediction["attention"]["weights"], ndmin=2)
        np.testing.assert_allclose(seen, expected, atol=ROUNDING)
        assert prediction["attention"]["tokens"] == [text.token(token) for token in ids]


def test_a_model_without_such_weights_refuses_by_the_fields_name(made: dict[str, Made]) -> None:
    body = {"inputs": ["the cat"], "explain": True}
    reply = made["tiny-language"].client.post("/v1/models/tiny-language/predict", json=body)
    assert reply.status_code == 422
    assert reply.json()["error"]["param"] == "explain"


@pytest.mark.parametrize("name", SERIES)
def test_a_forecaster_forecasts_as_torch_does_at_every_step(
    made: dict[str, Made], name: str
) -> None:
    model = made[name]
    features = len(model.client.get(f"/v1/models/{name}").json()["input"]["features"])
    hours = np.arange(60)[:, None] + np.arange(features)[None, :]
    series = (np.sin(hours / 24 * 2 * np.pi) * 3 + 10).astype(np.float32)
    scaled = model.torch_outputs(series)  # [time, horizon, features]
    body = {"inputs": [series.tolist(), series[:7].tolist()], "raw": True}
    reply = model.post(f"/v1/models/{name}/predict", body)
    whole = np.array(reply["predictions"][0]["outputs"]["forecast"])
    np.testing.assert_allclose(whole, scaled, atol=10 * ROUNDING)
    session = model.post(f"/v1/models/{name}/sessions", {})["session_id"]
    at = 0
    for length in (1, 2, 17, 40):
        chunk = series[at : at + length].tolist()
        reply = model.post(f"/v1/sessions/{session}/steps", {"inputs": chunk, "step": at})
        at += length
        assert reply["prediction"]["forecast"] == whole[at - 1].tolist()


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("tiny-questions", "1 x lstm of 8 units, both directions;"),
        ("tiny-cho", "2 x gru_cho of 8 units, mean of both, residual, 2 heads of attention;"),
        ("tiny-min-gru", "3 x min_gru of 32 units, causal, residual, normalised;"),
    ],
)
def test_the_card_says_what_is_between_the_layers(
    made: dict[str, Made], name: str, said: str
) -> None:
    assert said in (made[name].folder / "card.md").read_text()


def test_a_tagger_tags_each_word_and_tells_the_intent_as_torch_does(made: dict[str, Made]) -> None:
    model = made["tiny-wishes"]
    wish = "book a flight  from New York to Oslo"
    (told,) = model.post("/v1/models/tiny-wishes/predict", {"inputs": [wish]})["predictions"]
    ids = Text(model.folder / "tokenizer.json").encode(wish)
    output = model.client.get("/v1/models/tiny-wishes").json()["output"]
    tags, intents = output["tags"], output["intents"]
    scores = torch.from_numpy(model.torch_outputs(ids))
    chances = torch.softmax(scores[:, : len(tags)], -1).numpy()
    assert told["tags"] == [tags[tag] for tag in chances.argmax(-1)]
    np.testing.assert_allclose(told["tag_probabilities"], chances.max(-1), atol=ROUNDING)
    assert [word["word"] for word in told["words"]] == wish.split()
    assert all(wish[word["start"] : word["end"]] == word["word"] for word in told["words"])
    expected = torch.softmax(scores[-1, len(tags) :], -1).numpy()
    seen = list(told["intent"]["probabilities"].values())
    np.testing.assert_allclose(seen, expected, atol=ROUNDING)
    assert list(told["intent"]["probabilities"]) == intents


def test_a_live_tagger_says_word_by_word_what_it_says_of_the_whole(made: dict[str, Made]) -> None:
    model = made["tiny-wishes-live"]
    wish = "what costs a flight from Paris to San Jose"
    predicted = model.post("/v1/models/tiny-wishes-live/predict", {"inputs": [wish]})
    (whole,) = predicted["predictions"]
    session = model.post("/v1/models/tiny-wishes-live/sessions", {})["session_id"]
    replies = [
        model.post(f"/v1/sessions/{session}/steps", {"inputs": word})["prediction"]
        for word in wish.split()
    ]
    assert [tag for reply in replies for tag in reply["tags"]] == whole["tags"]
    assert [reply["words"][0]["tag"] for reply in replies] == [w["tag"] for w in whole["words"]]
    assert replies[-1]["intent"] == whole["intent"]


def test_a_translator_writes_what_training_measured(made: dict[str, Made]) -> None:
    model, recipe = made["tiny-pairs"], find_recipe("tiny-pairs")
    data = build_data(recipe.data, recipe.seed)
    runner = open_runner(load_artifact(model.folder))
    assert isinstance(data, TextPairs)
    assert isinstance(runner, PairRunner)
    sources = [pair.source for pair in data.tested.items]
    path = "/v1/models/tiny-pairs"
    found = model.post(f"{path}/predict", {"inputs": sources})["predictions"]
    by_beam = Writer(data, runner, recipe.search).write(data.tested.sources)
    assert [one["text"] for one in found] == by_beam
    greedy = SearchConfig(max_tokens=recipe.search.max_tokens)
    greedily = Writer(data, runner, greedy).write(data.tested.sources[:20])
    for source, text in zip(sources[:20], greedily, strict=True):
        body = {"prompt": source, "stream": True}
        with model.client.stream("POST", f"{path}/generate", json=body) as response:
            lines = [line for line in response.iter_lines() if line.startswith("data: ")]
        *pieces, done = (json.loads(line.removeprefix("data: ")) for line in lines)
        assert "".join(piece["text"] for piece in pieces) == text
        assert len(pieces) <= done["usage"]["completion_tokens"] <= len(pieces) + 1
    refused = model.client.post(f"{path}/sessions")
    assert refused.json()["error"]["code"] == "model_has_no_state"

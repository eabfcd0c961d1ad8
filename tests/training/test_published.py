"""The published models are whole, reach what the recipes aim at, and hold what they claim."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from service.artifact.artifact import Artifact, load_artifact, read_manifest
from training.config import load_config
from training.evaluation.comparison import compare
from training.recipes.registry import find_recipe
from training.runner import Runner, open_runner

MODELS = Path(__file__).parents[2] / "models"
AIMS = {
    "char-lm": 1.50,
    "question-type": 0.89,
    "oil-temperature": 0.37,
    "hourly-series": 12.5,
    "pen-digits": 0.95,
    "turbofan-life": 14.9,
    "bearing-fault": 0.99,
    "aircraft-signal": 0.90,
    "body-action": 0.93,
    "mnist-rows": 0.988,
    "water-circuit": 0.74,
    "stock-movement": 0.513,
    "part-of-speech": 0.925,
    "flight-question": 0.94,
    "flight-question-live": 0.85,
    "restaurant-sentence": 62.0,
    "spoken-digit": 0.96,
    "digit-string": 0.05,
    "story-questions": 0.60,
}
BIT_FOR_BIT = ("alone_equals_company", "chunks_equal_whole", "padding_changes_nothing")


FOLDERS = sorted(path.parent for path in MODELS.glob("*/*/manifest.json"))
IN_INTEGERS = [folder for folder in FOLDERS if read_manifest(folder).int8 is not None]

NEWEST = [
    max((f for f in FOLDERS if f.parent == model), key=lambda folder: int(folder.name))
    for model in sorted({folder.parent for folder in FOLDERS})
]

newest = pytest.mark.parametrize("folder", NEWEST, ids=str)
in_integers = pytest.mark.parametrize("folder", IN_INTEGERS, ids=str)


@pytest.fixture(params=FOLDERS, ids=str)
def folder(request: pytest.FixtureRequest) -> Path:
    return request.param


def test_every_aim_is_published():
    assert {folder.parent.name for folder in FOLDERS} == AIMS.keys()


def test_it_reaches_its_aim_and_beats_the_trivial_predictor(folder: Path):
    manifest = load_artifact(folder).manifest
    metric, aim = manifest.provenance.metrics[0], AIMS[manifest.name]
    assert metric.baseline is not None
    better = np.less if metric.lower_is_better else np.greater
    assert better(metric.value, aim)
    assert better(metric.value, metric.baseline)


def test_a_causal_one_was_proven_bit_for_bit(folder: Path):
    manifest = load_artifact(folder).manifest
    verification = manifest.provenance.verification
    if manifest.causal:
        assert [verification[claim] for claim in BIT_FOR_BIT] == [0.0, 0.0, 0.0]
    else:
        assert verification["padding_changes_nothing"] == 0.0


def test_it_still_answers_its_probe(folder: Path):
    artifact = load_artifact(folder)
    expected = artifact.probe.outputs[artifact.manifest.graph.outputs[0].name]
    allowed = artifact.manifest.probe.tolerance * np.maximum(1, np.abs(expected))
    assert (np.abs(_probed(artifact) - expected) <= allowed).all()


def _probed(artifact: Artifact) -> NDArray[np.float32]:
    probe, runner = artifact.probe, open_runner(artifact)
    if isinstance(runner, Runner):
        return runner.run(probe.inputs, probe.lengths).outputs
    assert probe.source is not None
    memory = runner.encode(probe.source.inputs, probe.source.lengths)
    return runner.decode(probe.inputs, memory, lengths=probe.lengths).outputs


@newest
def test_its_recipe_is_the_one_in_the_code(folder: Path):
    """Versions never change; a recipe may, once there is a newer version that was made by it."""
    made_by = load_config((folder / "recipe.json").read_bytes())
    assert made_by == find_recipe(made_by.name)


def test_its_card_and_pictures_are_beside_it(folder: Path):
    card = (folder / "card.md").read_text()
    pictures = [path.name for path in folder.glob("*.png")]
    assert len(pictures) >= 2
    assert all(f"({picture})" in card for picture in pictures)


@in_integers
def test_integers_lose_half_a_percent_at_most(folder: Path):
    metrics = load_artifact(folder).manifest.provenance.metrics
    integers = [metric for metric in metrics if metric.name.endswith(", int8")]
    floats = [metric for metric in metrics if metric not in integers]
    renamed = [m.model_copy(update={"name": m.name.removesuffix(", int8")}) for m in integers]
    for pair in compare(floats, renamed):
        assert pair.integers.baseline == pytest.approx(pair.floats.value)
        assert f"{pair.loss:+.3%}" in (folder / "card.md").read_text()


@in_integers
def test_integers_were_proven_bit_for_bit(folder: Path):
    manifest = load_artifact(folder).manifest
    claims = {c: v for c, v in manifest.provenance.verification.items() if c.startswith("int8_")}
    assert claims["int8_padding_changes_nothing"] == 0.0
    if manifest.causal:
        assert len(claims) == 5
        assert set(claims.values()) == {0.0}


@in_integers
def test_integers_still_answer_their_probe(folder: Path):
    artifact = load_artifact(folder)
    int8, probe = artifact.manifest.int8, artifact.int8_probe
    assert int8 is not None
    assert probe is not None
    seen = Runner(folder / int8.graph.file, int8.graph).run(probe.inputs, probe.lengths)
    expected = probe.outputs[int8.graph.outputs[0].name]
    allowed = int8.probe.tolerance * np.maximum(1, np.abs(expected))
    assert (np.abs(seen.outputs - expected) <= allowed).all()

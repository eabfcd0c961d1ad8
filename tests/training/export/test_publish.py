"""What is published loads, answers as it did, and never changes; what fails is not written."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from service.artifact.artifact import load_artifact
from service.artifact.tasks import Task
from service.errors import ArtifactError
from tests.training.tiny import publish_run, publish_tiny
from training.export.claims import VerificationError
from training.export.publish import latest_version, next_version
from training.recipes import steps
from training.recipes.registry import find_recipe
from training.recipes.steps import Folders
from training.recipes.tiny import tiny_language
from training.runner import Runner

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(
    ("recipe", "task", "causal"),
    [
        ("tiny-language", Task.LANGUAGE_MODELING, True),
        ("tiny-questions", Task.CLASSIFICATION, False),
        ("tiny-series", Task.FORECASTING, True),
        ("tiny-rhythms", Task.FORECASTING, True),
        ("tiny-wishes", Task.TAGGING, False),
    ],
)
def test_a_published_run_loads_and_its_probe_answers(
    recipe: str, task: Task, causal: bool, tmp_path: Path
):
    published = publish_tiny(tmp_path, recipe=recipe)
    assert published.folder == tmp_path / recipe / "1"
    artifact = load_artifact(published.folder)
    manifest, probe = artifact.manifest, artifact.probe
    assert (manifest.task, manifest.causal) == (task, causal)
    assert manifest.provenance.metrics[0].baseline is not None
    assert set(manifest.provenance.verification) >= {"onnx_equals_torch"}

    # Each has GRU layers or looks both ways: single steps would round apart, or have no state.
    assert manifest.graph.step_file is None

    ran = Runner(artifact.model_path, manifest.graph).run(probe.inputs, probe.lengths)
    assert np.array_equal(ran.outputs, probe.outputs[manifest.graph.outputs[0].name])
    assert probe.inputs.shape[0] == 4
    assert probe.inputs.shape[1] <= 24
    assert len({int(length) for length in probe.lengths}) > 1


def test_single_steps_are_published_where_they_keep_every_bit(tmp_path: Path):
    config = tiny_language()
    lstm = replace(config, model=replace(config.model, cell="lstm"))
    folder = publish_run(lstm, Folders(tmp_path / "runs", tmp_path / "models")).folder
    manifest = load_artifact(folder).manifest
    assert manifest.graph.step_file == "step.onnx"
    assert manifest.provenance.verification["step_equals_sequence"] == 0.0


def test_the_published_graph_is_the_trained_network(tmp_path: Path):
    published = publish_tiny(tmp_path)
    artifact = load_artifact(published.folder)
    tokens = artifact.probe.inputs[:1]
    with torch.no_grad():
        expected = published.network(torch.from_numpy(tokens)).outputs.numpy()
    seen = Runner(artifact.model_path, artifact.manifest.graph).run(tokens).outputs
    np.testing.assert_allclose(seen, expected, atol=1e-5)  # float32, two runtimes


def test_text_and_start_token_are_those_of_training(tmp_path: Path):
    artifact = load_artifact(publish_tiny(tmp_path).folder)
    assert artifact.text is not None
    line = "the cat sleeps.\n"
    assert artifact.text.decode(artifact.text.encode(line).tolist()) == line
    assert artifact.text.decode([artifact.manifest.output.start_token]) == "\n"


def test_a_card_is_beside_the_model_with_its_pictures(tmp_path: Path):
    folder = publish_tiny(tmp_path, recipe="tiny-series").folder
    card = (folder / "card.md").read_text()
    for said in ("last 4 rows repeated", "Licence of the data", "bit for bit", "none verified"):
        assert said in card
    for picture in ("curve.png", "forecasts.png"):
        assert picture in card
        assert (folder / picture).read_bytes().startswith(b"\x89PNG")


def test_publishing_again_is_the_next_version_and_the_first_stays(tmp_path: Path):
    config, folders = find_recipe("tiny-language"), Folders(tmp_path / "runs", tmp_path / "models")
    steps.train(config, folders)
    first, second = steps.publish(config, folders), steps.publish(config, folders)
    assert (first.name, second.name) == ("1", "2")
    assert load_artifact(first).manifest.version == 1
    assert load_artifact(second).manifest.version == 2
    assert next_version(folders.models, config.name) == 3
    assert latest_version(folders.models, config.name) == second
    with pytest.raises(ArtifactError, match="exists already"):
        steps.export(config, folders, folder=first)


def test_a_model_that_fails_verification_is_not_written(tmp_path: Path):
    config, folders = find_recipe("tiny-language"), Folders(tmp_path / "runs", tmp_path / "models")
    steps.train(config, folders)
    best = folders.run(config.name) / "best.ckpt"
    checkpoint = torch.load(best, weights_only=True)
    checkpoint["state_dict"]["network.head.bias"][0] = torch.nan
    torch.save(checkpoint, best)
    with pytest.raises(VerificationError):
        steps.publish(config, folders)
    assert not (folders.models / config.name).exists()


def test_a_name_with_other_settings_is_still_its_own_model(tmp_path: Path):
    config = replace(find_recipe("tiny-language"), name="other-lines")
    folders = Folders(tmp_path / "runs", tmp_path / "models")
    steps.train(config, folders)
    assert steps.publish(config, folders) == tmp_path / "models" / "other-lines" / "1"

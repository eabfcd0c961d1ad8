"""A version in integers is the next one, beside its figures; one that loses too much is none."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from service.artifact.artifact import load_artifact
from tests.service.artifact.forging import change_graph
from tests.training.tiny import publish_tiny
from training.evaluation.comparison import AccuracyLost
from training.export.lowering.rewriting import LoweringError
from training.recipes.quantization import publish_quantized
from training.recipes.steps import Folders
from training.runner import Runner

pytestmark = pytest.mark.slow


def files_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize("recipe", ["tiny-language", "tiny-questions", "tiny-series"])
def test_the_next_version_loads_and_its_integers_answer_their_probe(recipe: str, tmp_path: Path):
    first = publish_tiny(tmp_path, recipe=recipe).folder
    before = files_of(first)
    published = publish_quantized(recipe, Folders(models=tmp_path))
    assert published.folder == tmp_path / recipe / "2"
    assert files_of(first) == before

    artifact = load_artifact(published.folder)
    int8, probe = artifact.manifest.int8, artifact.int8_probe
    assert int8 is not None
    assert probe is not None
    assert (int8.graph.step_file is None) == (not artifact.manifest.causal)
    ran = Runner(published.folder / int8.graph.file, int8.graph).run(probe.inputs, probe.lengths)
    assert np.array_equal(ran.outputs, probe.outputs[int8.graph.outputs[0].name])


def test_both_figures_are_in_the_manifest_and_on_the_card(tmp_path: Path):
    publish_tiny(tmp_path)
    published = publish_quantized("tiny-language", Folders(models=tmp_path))
    (pair,) = published.compared
    provenance = load_artifact(published.folder).manifest.provenance
    floats, integers = provenance.metrics
    assert floats.value == pytest.approx(pair.floats.value)
    assert (integers.value, integers.baseline) == (pair.integers.value, pair.floats.value)
    assert integers.name == "nats per character, int8"
    card = (published.folder / "card.md").read_text()
    assert card.startswith("# tiny-language, version 2\n")
    for said in (f"{pair.floats.value:.4f}", f"{pair.integers.value:.4f}", f"{pair.loss:+.3%}"):
        assert said in card
    claims = {claim for claim in provenance.verification if claim.startswith("int8_")}
    assert {provenance.verification[claim] for claim in claims} == {0.0}
    assert len(claims) == 5


def test_what_the_version_had_it_has_still(tmp_path: Path):
    first = files_of(publish_tiny(tmp_path).folder)
    second = files_of(publish_quantized("tiny-language", Folders(models=tmp_path)).folder)
    changed = {name for name in first if first[name] != second[name]}
    assert changed == {"manifest.json", "card.md"}
    assert second.keys() - first.keys() == {"model-int8.onnx", "step-int8.onnx", "probe-int8.npz"}


def change_weights(
    name: str, change: Callable[[np.ndarray], None]
) -> Callable[[onnx.ModelProto], None]:
    def change_model(model: onnx.ModelProto) -> None:
        (tensor,) = [t for t in model.graph.initializer if t.name == name]
        weights = numpy_helper.to_array(tensor).copy()
        change(weights)
        tensor.CopyFrom(numpy_helper.from_array(weights, name))

    return change_model


def silence(weights: np.ndarray) -> None:
    """The new gate of the first of 32 units: its state stays zero."""
    weights[0, 64] = 0


def silence_biases(bias: np.ndarray) -> None:
    bias[0, [64, 96 + 64]] = 0


def shout(weights: np.ndarray) -> None:
    """At what the first unit says: nothing, in float32; a scale for all others, in bytes."""
    weights[0] = 1e4


def test_a_model_that_integers_cannot_hold_is_refused_and_nothing_is_written(tmp_path: Path):
    folder = publish_tiny(tmp_path).folder
    for name, change in (
        ("layer0_input_weights", silence),
        ("layer0_recurrent_weights", silence),
        ("layer0_bias", silence_biases),
        ("head_weights", shout),
    ):
        change_graph(folder, change_weights(name, change))
    before = files_of(folder)
    with pytest.raises(AccuracyLost, match=r"nats per character goes from .* worse") as refused:
        publish_quantized("tiny-language", Folders(models=tmp_path))
    assert "\n" not in str(refused.value)
    assert [path.name for path in folder.parent.iterdir()] == ["1"]
    assert files_of(folder) == before


def test_there_is_nothing_to_do_where_nothing_is_published_or_integers_are(tmp_path: Path):
    with pytest.raises(LoweringError, match="no published version of tiny-language"):
        publish_quantized("tiny-language", Folders(models=tmp_path))
    publish_tiny(tmp_path)
    publish_quantized("tiny-language", Folders(models=tmp_path))
    with pytest.raises(LoweringError, match="in integers already"):
        publish_quantized("tiny-language", Folders(models=tmp_path))

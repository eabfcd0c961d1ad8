"""Which form of an artifact is served, and that each of its graphs is tried before it is."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from service.artifact.artifact import Artifact, load_artifact
from service.errors import ArtifactError
from service.registry.form import choose_form, replay
from service.runtime.base import StepInput
from service.runtime.onnx import OnnxRuntime
from service.runtime.processor import int8_is_fast
from service.runtime.session import RuntimeConfig
from service.runtime.state import stack
from tests.service.artifact.forging import add_int8, add_step_graph, change_graph
from tests.service.artifacts import save_babble

CPU = RuntimeConfig(device="cpu")


def with_step_graph(tmp_path: Path) -> Path:
    folder = save_babble(tmp_path)
    add_step_graph(folder)
    return folder


def spoil(folder: Path, file: str) -> None:
    """Add a little to every weight of the largest tensor."""

    def change(model: onnx.ModelProto) -> None:
        tensor = max(model.graph.initializer, key=lambda t: len(t.raw_data))
        spoiled = numpy_helper.to_array(tensor) + np.float32(0.05)
        tensor.CopyFrom(numpy_helper.from_array(spoiled, tensor.name))

    change_graph(folder, change, file=file)


def runtime(artifact: Artifact) -> OnnxRuntime:
    return OnnxRuntime(artifact.model_path, artifact.manifest.graph, CPU)


def test_the_step_graph_runs_single_steps_and_nothing_else(tmp_path: Path) -> None:
    folder = with_step_graph(tmp_path)
    right = runtime(load_artifact(folder))
    spoil(folder, "step-model.onnx")
    spoiled = runtime(load_artifact(folder))
    values, one = np.array([[7]]), np.ones(1, np.int32)
    state = stack([right.initial_state()], right.batch_axes)

    def logits(model: OnnxRuntime, *, single: bool) -> np.ndarray:
        return model.step(StepInput(values, one, state, single=single)).outputs["logits"]

    np.testing.assert_array_equal(logits(spoiled, single=False), logits(right, single=False))
    assert (logits(spoiled, single=True) != logits(right, single=True)).any()


def test_a_step_graph_is_held_to_the_probe_as_well(tmp_path: Path) -> None:
    folder = with_step_graph(tmp_path)
    artifact = load_artifact(folder)
    assert replay(choose_form(artifact, CPU), runtime(artifact)) <= 1e-6
    spoil(folder, "step-model.onnx")
    artifact = load_artifact(folder)
    with pytest.raises(ArtifactError, match="differs from what was seen at export"):
        replay(choose_form(artifact, CPU), runtime(artifact))


@pytest.mark.parametrize("precision", ["auto", "float32"])
def test_int8_is_served_where_it_is_fast_and_allowed(precision: str, tmp_path: Path) -> None:
    folder = save_babble(tmp_path)
    add_int8(folder)
    form = choose_form(
        load_artifact(folder),
        RuntimeConfig("cpu", precision=precision),  # type: ignore[arg-type]
    )
    served = "int8" if precision == "auto" and int8_is_fast() else "float32"
    assert form.precision == served
    assert form.graph.file == ("int8.onnx" if served == "int8" else "model.onnx")


def test_int8_is_not_for_a_device(tmp_path: Path) -> None:
    folder = save_babble(tmp_path)
    add_int8(folder)
    assert choose_form(load_artifact(folder), RuntimeConfig("cuda")).precision == "float32"


def test_without_an_int8_form_there_is_nothing_to_choose(tmp_path: Path) -> None:
    assert choose_form(load_artifact(save_babble(tmp_path)), CPU).precision == "float32"

"""Beside its graph an artifact may carry one for single steps, and both again in integers."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from service.artifact.artifact import ProbeData, dump_probe, load_artifact
from service.artifact.manifest import MANIFEST_FILE
from service.errors import ArtifactError
from tests.service.artifact.forging import (
    add_int8,
    add_step_graph,
    change_graph,
    read_fields,
    replace_files,
    set_field,
)
from tests.service.artifacts import save_babble, save_parity

STEP, INT8, INT8_STEP = "step-model.onnx", "int8.onnx", "step-int8.onnx"


def with_all_graphs(models_dir: Path) -> Path:
    folder = save_babble(models_dir)
    add_step_graph(folder)
    add_int8(folder)
    add_step_graph(folder, graph="int8.graph")
    return folder


def refused(folder: Path) -> ArtifactError:
    with pytest.raises(ArtifactError) as caught:
        load_artifact(folder)
    return caught.value


def test_an_artifact_with_all_graphs_loads(tmp_path: Path) -> None:
    artifact = load_artifact(with_all_graphs(tmp_path))
    manifest = artifact.manifest
    assert manifest.graph.files == ("model.onnx", STEP)
    assert manifest.int8 is not None
    assert manifest.int8.files == (INT8, INT8_STEP, "probe-int8.npz")
    assert artifact.int8_probe is not None
    assert dump_probe(artifact.int8_probe) == dump_probe(artifact.probe)


def test_a_manifest_from_before_these_graphs_has_none_of_them(tmp_path: Path) -> None:
    folder = save_babble(tmp_path)
    fields = read_fields(folder)
    del fields["int8"], fields["graph"]["step_file"]
    (folder / MANIFEST_FILE).write_text(json.dumps(fields))
    artifact = load_artifact(folder)
    assert artifact.manifest.graph.step_file is None
    assert artifact.manifest.int8 is None
    assert artifact.int8_probe is None


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        ("graph.step_file", "model.onnx", "step_file"),
        ("graph.step_file", "other.onnx", "no checksum of other.onnx"),
        ("int8.graph.file", "other.onnx", "no checksum of other.onnx"),
        ("int8.graph.step_file", "other.onnx", "no checksum of other.onnx"),
        ("int8.probe.file", "other.npz", "no checksum of other.npz"),
        ("int8.graph.file", "model.onnx", "int8: model.onnx is a file of the other graph"),
        ("int8.graph.step_file", STEP, f"int8: {STEP} is a file of the other graph"),
        ("int8.probe.file", "probe.npz", "int8: probe.npz is a file of the other graph"),
        ("int8.graph.lengths", "sizes", "int8.graph.lengths"),
        ("int8.graph.inputs.0.name", "ids", "int8.graph.inputs"),
        ("int8.graph.outputs.0.shape", ["batch", "time", 255], "int8.graph.outputs"),
        ("int8.graph.state.0.shape", [2, "batch", 32], "int8.graph.state"),
    ],
)
def test_graphs_that_disagree_are_named(path: str, value: Any, words: str, tmp_path: Path) -> None:
    folder = with_all_graphs(tmp_path)
    set_field(folder, path, value)
    error = refused(folder)
    assert error.file == MANIFEST_FILE
    assert words in error.message


def test_only_a_graph_with_state_has_single_steps(tmp_path: Path) -> None:
    folder = save_parity(tmp_path)
    replace_files(folder, {"step.onnx": (folder / "model.onnx").read_bytes()})
    set_field(folder, "graph.step_file", "step.onnx")
    error = refused(folder)
    assert (error.file, error.field) == (MANIFEST_FILE, "graph")
    assert "step_file" in error.message


@pytest.mark.parametrize("file", [STEP, INT8, INT8_STEP, "probe-int8.npz"])
def test_a_changed_byte_of_each_file_is_seen(file: str, tmp_path: Path) -> None:
    folder = with_all_graphs(tmp_path)
    data = bytearray((folder / file).read_bytes())
    data[len(data) // 2] ^= 1
    (folder / file).write_bytes(data)
    error = refused(folder)
    assert (error.file, error.field) == (file, f"files.{file}")


@pytest.mark.parametrize("file", [STEP, INT8, INT8_STEP])
def test_a_tensor_that_a_graph_lacks_is_named(file: str, tmp_path: Path) -> None:
    folder = with_all_graphs(tmp_path)
    change_graph(folder, lambda model: model.graph.input.pop(), file=file)
    error = refused(folder)
    assert (error.file, error.field) == (file, "graph.inputs")
    assert "c_in" in error.message


def test_a_graph_of_single_steps_takes_no_lengths(tmp_path: Path) -> None:
    folder = with_all_graphs(tmp_path)
    replace_files(folder, {STEP: (folder / "model.onnx").read_bytes()})
    error = refused(folder)
    assert (error.file, error.field) == (STEP, "graph.inputs")


@pytest.mark.parametrize("tensor", ["tokens", "logits"])
def test_a_graph_of_single_steps_declares_one_step(tensor: str, tmp_path: Path) -> None:
    def free_time(model: onnx.ModelProto) -> None:
        for value in (*model.graph.input, *model.graph.output):
            if value.name == tensor:
                value.type.tensor_type.shape.dim[1].dim_param = "time"

    folder = with_all_graphs(tmp_path)
    change_graph(folder, free_time, file=INT8_STEP)
    error = refused(folder)
    assert (error.file, error.field) == (INT8_STEP, tensor)
    assert "time steps, not 1" in error.message


def test_an_int8_probe_of_another_shape_is_refused(tmp_path: Path) -> None:
    folder = with_all_graphs(tmp_path)
    probe = load_artifact(folder).probe
    wrong = ProbeData(probe.inputs, np.array([9, 9], np.int32), probe.outputs, probe.state)
    replace_files(folder, {"probe-int8.npz": dump_probe(wrong)})
    assert refused(folder).file == "probe-int8.npz"

"""Loading an artifact: graphs with data elsewhere, or that are not what the manifest says."""

from pathlib import Path
from typing import Any

import onnx
import pytest
from onnx import TensorProto, helper

from service.artifact.artifact import load_artifact
from service.artifact.tasks import ClassificationOutput
from tests.service.artifact.forging import (
    change_graph,
    read_fields,
    refused,
    replace_files,
    set_field,
)
from tests.service.artifacts import save_babble, save_parity


def _externalise(model: onnx.ModelProto, location: str) -> None:
    tensor = next(t for t in model.graph.initializer if t.name == "embedding")
    _point_outside(tensor, location)


def _point_outside(tensor: TensorProto, location: str) -> None:
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    del tensor.external_data[:]
    tensor.external_data.add(key="location", value=location)


@pytest.mark.parametrize("location", ["../weights.bin", "/etc/passwd", "weights.bin", ""])
def test_external_data_that_the_manifest_does_not_list_is_refused(
    location: str, tmp_path: Path
) -> None:
    folder = save_babble(tmp_path)
    (folder / "weights.bin").write_bytes(bytes(256 * 16 * 4))
    # onnx itself refuses to load some of these again: change and write in one go.
    change_graph(folder, lambda model: _externalise(model, location))
    error = refused(folder)
    assert (error.file, error.field) == ("model.onnx", "embedding")


def test_external_data_in_a_listed_file_is_read(tmp_path: Path) -> None:
    folder = save_babble(tmp_path)
    replace_files(folder, {"weights.bin": bytes(256 * 16 * 4)})
    change_graph(folder, lambda model: _externalise(model, "weights.bin"))
    assert "weights.bin" in load_artifact(folder).manifest.files


def test_external_data_inside_a_branch_is_refused(tmp_path: Path) -> None:
    def hide(model: onnx.ModelProto) -> None:
        tensor = helper.make_tensor("hidden", TensorProto.FLOAT, [1], [0.0])
        _point_outside(tensor, "../secret")
        value = helper.make_tensor_value_info("out", TensorProto.FLOAT, [1])
        constant = helper.make_node("Constant", [], ["out"], value=tensor)
        branch = helper.make_graph([constant], "branch", [], [value])
        model.graph.node.append(
            helper.make_node("If", ["flag"], ["unused"], then_branch=branch, else_branch=branch)
        )

    folder = save_babble(tmp_path)
    change_graph(folder, hide)
    assert refused(folder).field == "hidden"


def test_external_data_inside_a_function_is_refused(tmp_path: Path) -> None:
    def hide(model: onnx.ModelProto) -> None:
        tensor = helper.make_tensor("hidden", TensorProto.FLOAT, [1], [0.0])
        _point_outside(tensor, "../secret")
        constant = helper.make_node("Constant", [], ["out"], value=tensor)
        opsets = [helper.make_opsetid("", 17)]
        model.functions.append(
            helper.make_function("test", "hide", [], ["out"], [constant], opsets)
        )

    folder = save_babble(tmp_path)
    change_graph(folder, hide)
    assert refused(folder).field == "hidden"


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("graph.inputs.0.name", "token_ids"),
        ("graph.inputs.0.dtype", "int32"),
        ("graph.lengths", "sizes"),
        ("graph.state.0.input", "hidden"),
        ("graph.state.1.output", "cell"),
        ("graph.state.0.shape", [1, "batch", 32, 1]),
        ("graph.outputs.0.dtype", "int64"),
    ],
)
def test_a_manifest_that_disagrees_with_the_graph_is_refused(
    path: str, value: Any, tmp_path: Path
) -> None:
    folder = save_babble(tmp_path)
    set_field(folder, path, value)
    error = refused(folder)
    assert error.file == "model.onnx"
    assert error.field is not None


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("output.attention", "weights"),
        ("output.attention", "logits"),
        ("graph.outputs.1.shape", ["batch", "time"]),
        ("graph.outputs.1.shape", ["batch", 3, 2]),
    ],
)
def test_weights_that_are_not_one_a_step_and_head_are_refused(
    path: str, value: Any, tmp_path: Path
) -> None:
    folder = save_parity(tmp_path)
    set_field(folder, path, value)
    assert "attention" in refused(folder).message


def test_a_classifier_need_not_tell_where_it_looked(tmp_path: Path) -> None:
    folder = save_parity(tmp_path)
    fields = read_fields(folder)
    del fields["output"]["attention"]
    set_field(folder, "output", fields["output"])
    output = load_artifact(folder).manifest.output
    assert isinstance(output, ClassificationOutput)
    assert output.attention is None


def test_an_output_that_the_manifest_does_not_know_is_refused(tmp_path: Path) -> None:
    folder = save_babble(tmp_path)
    value = helper.make_tensor_value_info("hidden", TensorProto.FLOAT, ["time", "batch", 32])
    change_graph(folder, lambda model: model.graph.output.append(value))
    error = refused(folder)
    assert error.field == "graph.outputs"
    assert "hidden" in error.message


def test_bytes_that_are_no_graph_are_refused(tmp_path: Path) -> None:
    folder = save_babble(tmp_path)
    replace_files(folder, {"model.onnx": b"not a model"})
    assert refused(folder).file == "model.onnx"

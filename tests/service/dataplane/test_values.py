"""A number of a sequence is its last step's, or one of every step, as the manifest says."""

from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from service.artifact.artifact import Artifact, load_artifact
from service.dataplane.types import OpenRequest, Prediction, Regression
from service.protocols.native import binary, render
from tests.service.artifact.forging import change_graph, replace_files, set_field
from tests.service.artifacts import save_running_total
from tests.service.dataplane.serving import call, runtime_of, serving

ROWS = [np.array([[1], [2], [4]], np.float32), np.array([[8]], np.float32)]


def tally(folder: Path, *, every_step: bool) -> Artifact:
    """`running-total`, whose total is a value and no forecast."""
    path = save_running_total(folder)

    def without_horizon(model: onnx.ModelProto) -> None:
        kept = [node for node in model.graph.node if "forecast" not in node.output]
        kept.append(helper.make_node("Identity", ["scaled"], ["forecast"]))
        del model.graph.node[:]
        model.graph.node.extend(kept)
        shape = ["batch", "time", 1]
        value = helper.make_tensor_value_info("forecast", TensorProto.FLOAT, shape)
        model.graph.output[0].CopyFrom(value)

    change_graph(path, without_horizon)
    probe = dict(np.load(path / "probe.npz"))
    probe["output/forecast"] = probe["output/forecast"][..., 0]
    buffer = BytesIO()
    np.savez(buffer, **probe)
    replace_files(path, {"probe.npz": buffer.getvalue()})
    output: dict[str, Any] = {"value": "forecast", "name": "total", "unit": "kg"}
    set_field(path, "output", output | {"task": "regression", "every_step": every_step})
    set_field(path, "task", "regression")
    set_field(path, "graph.outputs.0.shape", ["batch", "time", 1])
    artifact = load_artifact(path)
    runtime_of(artifact)
    return artifact


def regression(result: Any) -> Regression:
    assert isinstance(result, Prediction), result
    assert isinstance(result.answer, Regression)
    return result.answer


async def test_the_last_step_counts_where_one_number_is_asked_for(tmp_path: Path):
    async with serving([tally(tmp_path, every_step=False)]) as it:
        predictions = await it.plane.predict("running-total", ROWS, call=call())
    assert [row["value"] for row in render.predictions(predictions)["predictions"]] == [7, 8]
    assert "values" not in render.predictions(predictions)["predictions"][0]


async def test_every_step_has_its_number_where_all_are_asked_for(tmp_path: Path):
    async with serving([tally(tmp_path, every_step=True)]) as it:
        predictions = await it.plane.predict("running-total", ROWS, call=call())
    assert [regression(result).value for result in predictions.results] == [7, 8]
    told = render.predictions(predictions)["predictions"]
    assert [row["values"].tolist() for row in told] == [[1, 3, 7], [8]]
    assert all(row["unit"] == "kg" and "value" not in row for row in told)
    tensors = binary.predictions(predictions)
    assert tensors is not None
    assert tensors.arrays["values"].tolist() == [1, 3, 7, 8]
    assert tensors.arrays["values.lengths"].tolist() == [3, 1]


@pytest.mark.parametrize("chunks", [[3], [1, 1, 1], [2, 1]])
async def test_a_session_has_the_numbers_of_each_chunk(chunks: list[int], tmp_path: Path):
    seen: list[float] = []
    async with serving([tally(tmp_path, every_step=True)]) as it:
        opened = it.plane.open_session("running-total", OpenRequest(), call=call())
        at = 0
        for steps in chunks:
            chunk = ROWS[0][at : at + steps]
            fed = await it.plane.feed(opened.session_id, chunk, call=call())
            values = regression(fed.reply.prediction).values
            assert values is not None
            seen += values.tolist()
            at += steps
    assert seen == [1, 3, 7]

"""Changes an artifact on disk and signs it anew: what a wrong exporter would leave behind."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import onnx
import pytest

from service.artifact.artifact import digest, load_artifact
from service.artifact.manifest import MANIFEST_FILE
from service.errors import ArtifactError


def read_fields(folder: Path) -> dict[str, Any]:
    return json.loads((folder / MANIFEST_FILE).read_bytes())


def set_field(folder: Path, path: str, value: object) -> None:
    """Set a field of the manifest, e.g. `graph.inputs.0.dtype`."""
    fields = read_fields(folder)
    *parents, last = path.split(".")
    place: Any = fields
    for part in parents:
        place = place[int(part)] if isinstance(place, list) else place[part]
    place[int(last) if isinstance(place, list) else last] = value
    (folder / MANIFEST_FILE).write_text(json.dumps(fields))


def replace_files(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write `files`, and their checksums into the manifest."""
    fields = read_fields(folder)
    for name, data in files.items():
        (folder / name).write_bytes(data)
        fields["files"][name] = digest(data)
    (folder / MANIFEST_FILE).write_text(json.dumps(fields))


def change_graph(
    folder: Path, change: Callable[[onnx.ModelProto], None], *, file: str = "model.onnx"
) -> None:
    model = onnx.load(folder / file)
    change(model)
    replace_files(folder, {file: model.SerializeToString()})


def add_step_graph(folder: Path, *, graph: str = "graph") -> None:
    """A one-step graph beside the fused one of babble: without lengths, with one step of time."""
    fields = read_fields(folder)
    spec = fields["int8"]["graph"] if graph == "int8.graph" else fields[graph]
    model = onnx.load(folder / spec["file"])
    for node in model.graph.node:
        node.input[:] = ["" if name == spec["lengths"] else name for name in node.input]
    kept = [value for value in model.graph.input if value.name != spec["lengths"]]
    del model.graph.input[:]
    model.graph.input.extend(kept)
    for value in (*model.graph.input, *model.graph.output):
        for dimension in value.type.tensor_type.shape.dim:
            if dimension.dim_param == "time":
                dimension.dim_value = 1
    file = f"step-{spec['file']}"
    replace_files(folder, {file: model.SerializeToString()})
    set_field(folder, f"{graph}.step_file", file)


def add_int8(folder: Path) -> None:
    """The same graph and probe once more, under the names of the integer ones."""
    graph = read_fields(folder)["graph"]
    files = {name: (folder / name).read_bytes() for name in ("model.onnx", "probe.npz")}
    replace_files(folder, {"int8.onnx": files["model.onnx"], "probe-int8.npz": files["probe.npz"]})
    graph |= {"file": "int8.onnx", "step_file": None}
    probe = {"file": "probe-int8.npz", "tolerance": 1e-3}
    set_field(folder, "int8", {"graph": graph, "probe": probe})


def refused(folder: Path) -> ArtifactError:
    """Why it does not load."""
    with pytest.raises(ArtifactError) as caught:
        load_artifact(folder)
    assert caught.value.file in str(caught.value)
    return caught.value

"""Changes an artifact on disk and signs it anew: what a wrong exporter would leave behind."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import onnx

from service.artifact.artifact import digest
from service.artifact.manifest import MANIFEST_FILE


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


def change_graph(folder: Path, change: Callable[[onnx.ModelProto], None]) -> None:
    model = onnx.load(folder / "model.onnx")
    change(model)
    replace_files(folder, {"model.onnx": model.SerializeToString()})

"""An artifact is loaded whole and checked, or refused by the name of its file and field."""

import json
import os
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.artifact.artifact import Artifact, ProbeData, dump_probe, load_artifact
from service.artifact.manifest import MANIFEST_FILE
from service.errors import ArtifactError
from tests.service.artifact.forging import read_fields, refused, replace_files, set_field
from tests.service.artifacts import save_babble, save_banded_total, save_parity, save_running_total

FILES = (MANIFEST_FILE, "model.onnx", "probe.npz", "tokenizer.json")


def same(one: Artifact, other: Artifact) -> bool:
    return (
        one.manifest == other.manifest
        and one.digest == other.digest
        and dump_probe(one.probe) == dump_probe(other.probe)
        and (one.text is None) == (other.text is None)
    )


@pytest.mark.parametrize("save", [save_running_total, save_banded_total, save_babble, save_parity])
def test_a_saved_artifact_loads_as_it_was(save: Callable[[Path], Path], tmp_path: Path) -> None:
    artifact = load_artifact(save(tmp_path))
    assert artifact.model_path.is_file()
    assert artifact.manifest.model_validate_json(artifact.manifest.model_dump_json())
    assert len(artifact.probe.state) == len(artifact.manifest.graph.state)
    assert artifact.probe.outputs.keys() == {s.name for s in artifact.manifest.graph.outputs}


def test_the_digest_covers_every_file(tmp_path: Path) -> None:
    seeds = (save_babble(tmp_path / str(seed), seed=seed) for seed in range(2))
    first, second = (load_artifact(folder).digest for folder in seeds)
    assert first != second


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_named(name: str, tmp_path: Path) -> None:
    folder = save_babble(tmp_path)
    (folder / name).unlink()
    error = refused(folder)
    assert error.file == name
    assert "cannot be read" in error.message


@pytest.mark.parametrize("name", FILES)
def test_a_truncated_file_is_named(name: str, tmp_path: Path) -> None:
    folder = save_babble(tmp_path)
    data = (folder / name).read_bytes()
    (folder / name).write_bytes(data[: len(data) // 2])
    assert refused(folder).file == name


@pytest.mark.parametrize("name", FILES)
def test_an_empty_file_is_named(name: str, tmp_path: Path) -> None:
    folder = save_babble(tmp_path)
    (folder / name).write_bytes(b"")
    assert refused(folder).file == name


@pytest.mark.parametrize("name", FILES[1:])
def test_one_changed_byte_is_seen(name: str, tmp_path: Path) -> None:
    folder = save_babble(tmp_path)
    data = bytearray((folder / name).read_bytes())
    data[len(data) // 2] ^= 1
    (folder / name).write_bytes(data)
    error = refused(folder)
    assert (error.file, error.field) == (name, f"files.{name}")


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(name=st.sampled_from(FILES), data=st.data())
def test_no_damage_gives_anything_but_a_refusal_or_the_original(
    name: str, data: st.DataObject
) -> None:
    with TemporaryDirectory() as models_dir:
        folder = save_running_total(Path(models_dir)) if name != FILES[3] else None
        folder = folder or save_parity(Path(models_dir))
        original = load_artifact(folder)
        content = bytearray((folder / name).read_bytes())
        at = data.draw(st.integers(0, len(content) - 1))
        if data.draw(st.booleans()):
            content[at] ^= data.draw(st.integers(1, 255))
        else:
            del content[at:]
        (folder / name).write_bytes(content)
        try:
            loaded = load_artifact(folder)
        except ArtifactError:
            return
        # What people only read (the description, a commit) may change in the manifest.
        assert name == MANIFEST_FILE
        assert loaded.manifest.files == original.manifest.files
        assert dump_probe(loaded.probe) == dump_probe(original.probe)


def test_a_format_from_the_future_asks_for_an_upgrade(tmp_path: Path) -> None:
    folder = save_babble(tmp_path)
    set_field(folder, "format_version", 2)
    error = refused(folder)
    assert error.field == "format_version"
    assert "upgrade" in error.message


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("format_version", "one"),
        ("format_version", 0),
        ("format_version", 1.5),
        ("name", "../babble"),
        ("name", "Babble"),
        ("version", 0),
        ("version", "two"),
        ("task", "translation"),
        ("causal", None),
        ("graph.inputs", []),
        ("graph.inputs.0.dtype", "float64"),
        ("graph.outputs.0.shape", ["batch", "time", 0]),
        ("input.num_tokens", 0),
        ("output.sampling.temperature", -1),
        ("output.sampling.top_p", 0),
        ("limits.max_steps", 0),
        ("probe.tolerance", 0),
        ("provenance.verification", {"chunking": "none"}),
        ("provenance.metrics", [{"name": "loss"}]),
        ("files", {"model.onnx": "abc"}),
    ],
)
def test_a_wrong_value_in_the_manifest_is_named(path: str, value: Any, tmp_path: Path) -> None:
    folder = save_babble(tmp_path)
    set_field(folder, path, value)
    error = refused(folder)
    assert error.file == MANIFEST_FILE
    assert error.field is not None
    # The union of the tasks adds its tag, and a list its index, to the path that was set.
    parts = iter(error.field.split("."))
    assert all(part in parts for part in path.split("."))


@pytest.mark.parametrize("path", ["colour", "graph.colour", "output.colour", "provenance.colour"])
def test_an_unknown_field_is_named(path: str, tmp_path: Path) -> None:
    folder = save_babble(tmp_path)
    set_field(folder, path, "blue")
    error = refused(folder)
    assert error.file == MANIFEST_FILE
    assert "colour" in (error.field or "")


@pytest.mark.parametrize(
    ("quantiles", "word"),
    [
        ([0.1, 0.9], "0.5"),
        ([0.5, 0.1], "ascending"),
        ([0.5, 0.5], "ascending"),
        ([0.5, 1.0], "less than 1"),
        ([0.1, 0.5], "forecast has shape"),
        ([], "forecast has shape"),
    ],
)
def test_quantiles_that_cannot_be_are_named(
    quantiles: list[float], word: str, tmp_path: Path
) -> None:
    folder = save_banded_total(tmp_path)
    set_field(folder, "output.quantiles", quantiles)
    assert word in refused(folder).message


@pytest.mark.parametrize(
    ("path", "value", "word"),
    [
        ("task", "classification", "task"),
        ("causal", False, "state"),
        ("graph.state", [], "state"),
        ("files", {}, "files"),
        ("output.logits", "scores", "scores"),
        ("input.num_tokens", 255, "logits"),
        ("graph.inputs.0.shape", ["batch", "time", 4], "tokens"),
        ("graph.inputs.0.shape", ["time", "batch"], "tokens"),
        ("graph.state.0.batch_axis", 0, "h_in"),
        ("graph.state.1.input", "h_in", "h_in"),
        ("graph.state.1.output", "logits", "logits"),
        ("graph.lengths", "tokens", "tokens"),
        ("output.start_token", 256, "start_token"),
        ("output.end_token", 256, "end_token"),
    ],
)
def test_parts_of_the_manifest_that_disagree_are_named(
    path: str, value: Any, word: str, tmp_path: Path
) -> None:
    folder = save_babble(tmp_path)
    set_field(folder, path, value)
    error = refused(folder)
    assert error.file == MANIFEST_FILE
    assert word in error.message


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999"])
def test_numbers_that_are_not_finite_are_refused(number: str, tmp_path: Path) -> None:
    folder = save_babble(tmp_path)
    manifest = (folder / MANIFEST_FILE).read_text().replace('"tolerance": 0.0001', "?tolerance")
    assert "?tolerance" in manifest
    (folder / MANIFEST_FILE).write_text(manifest.replace("?tolerance", f'"tolerance": {number}'))
    assert refused(folder).file == MANIFEST_FILE


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"null",
        b"[]",
        b"\xff\xfe{}",
        b'{"format_version": ' + b"9" * 5000 + b"}",
        b"[" * 100_000 + b"]" * 100_000,
        b'{"files": ' + b'{"a":' * 50_000 + b"1" + b"}" * 50_001,
        b'{"description": "' + b"a" * (5 << 20) + b'"}',
    ],
    ids=["empty", "null", "list", "utf-16", "huge-number", "deep-list", "deep-map", "huge"],
)
def test_a_manifest_that_is_none_is_refused(data: bytes, tmp_path: Path) -> None:
    folder = save_babble(tmp_path)
    (folder / MANIFEST_FILE).write_bytes(data)
    assert refused(folder).file == MANIFEST_FILE


@pytest.mark.parametrize("name", ["../model.onnx", "/etc/hosts", "a/b", "..", ".hidden", "", "a\0"])
@pytest.mark.parametrize("path", ["graph.file", "probe.file", "input.tokenizer"])
def test_a_file_name_that_is_a_path_is_refused(path: str, name: str, tmp_path: Path) -> None:
    folder = save_babble(tmp_path)
    set_field(folder, path, name)
    set_field(folder, "files", read_fields(folder)["files"] | {name: "0" * 64})
    error = refused(folder)
    assert error.file == MANIFEST_FILE
    assert error.field is not None


@pytest.mark.parametrize("name", FILES)
def test_a_link_out_of_the_folder_is_refused(name: str, tmp_path: Path) -> None:
    folder = save_babble(tmp_path / "models")
    os.replace(folder / name, tmp_path / name)  # noqa: PTH105 - moved, then linked to
    (folder / name).symlink_to(tmp_path / name)
    error = refused(folder)
    assert error.file == name
    assert "leaves" in error.message


@pytest.mark.parametrize("data", [b"{}", b"not json", b"\xff"])
def test_bytes_that_are_no_tokenizer_are_refused(data: bytes, tmp_path: Path) -> None:
    folder = save_babble(tmp_path)
    replace_files(folder, {"tokenizer.json": data})
    assert refused(folder).file == "tokenizer.json"


def test_a_tokenizer_of_another_size_is_refused(tmp_path: Path) -> None:
    folder = save_babble(tmp_path)
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    tokenizer["model"]["vocab"].popitem()
    replace_files(folder, {"tokenizer.json": json.dumps(tokenizer).encode()})
    error = refused(folder)
    assert (error.file, error.field) == ("tokenizer.json", "input.num_tokens")


def _npy(array: np.ndarray) -> bytes:
    buffer = BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def _npz(**arrays: Any) -> bytes:
    buffer = BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"PK\x05\x06" + bytes(18),
        b"not an archive",
        _npy(np.zeros((2, 3))),
        _npz(other=np.zeros(1)),
        _npz(input=np.array([{}], dtype=object)),
    ],
    ids=["nothing", "no-arrays", "text", "npy", "other-arrays", "pickle"],
)
def test_bytes_that_are_no_probe_are_refused(data: bytes, tmp_path: Path) -> None:
    folder = save_running_total(tmp_path)
    replace_files(folder, {"probe.npz": data})
    assert refused(folder).file == "probe.npz"


def _probe(**changes: Any) -> ProbeData:
    """Of the running total: two rows of up to three steps."""
    fields: dict[str, Any] = {
        "inputs": np.zeros((2, 3, 1), np.float32),
        "lengths": np.array([3, 1], np.int32),
        "outputs": {"forecast": np.zeros((2, 3, 1, 1), np.float32)},
        "state": (np.zeros((1, 2, 1), np.float32),),
    }
    return ProbeData(**fields | changes)


def test_the_probe_of_the_running_total_is_taken(tmp_path: Path) -> None:
    folder = save_running_total(tmp_path)
    replace_files(folder, {"probe.npz": dump_probe(_probe())})
    assert same(load_artifact(folder), load_artifact(folder))


@pytest.mark.parametrize(
    "changes",
    [
        {"inputs": np.zeros((0, 3, 1), np.float32), "lengths": np.zeros(0, np.int32)},
        {"inputs": np.zeros((3, 3, 1), np.float32)},
        {"inputs": np.zeros((2, 3), np.float32)},
        {"inputs": np.zeros((2, 3, 2), np.float32)},
        {"inputs": np.zeros((), np.float32)},
        {"inputs": np.array([[["a"]] * 3] * 2)},
        {"inputs": np.full((2, 3, 1), np.nan, np.float32)},
        {"lengths": np.array([0, 1], np.int32)},
        {"lengths": np.array([4, 1], np.int32)},
        {"lengths": np.array(["three", "one"])},
        {"lengths": np.int32(2)},
        {"outputs": {}},
        {"outputs": {"forecast": np.zeros((2, 3, 1), np.float32)}},
        {"outputs": {"forecast": np.zeros((2, 3, 2, 1), np.float32)}},
        {"outputs": {"forecast": np.array([[[["a"]]] * 3] * 2)}},
        {"state": ()},
        {"state": (np.zeros((1, 2, 2), np.float32),)},
        {"state": (np.zeros((2, 1, 1), np.float32),)},
    ],
)
def test_a_probe_of_another_shape_is_refused(changes: dict[str, Any], tmp_path: Path) -> None:
    folder = save_running_total(tmp_path)
    replace_files(folder, {"probe.npz": dump_probe(_probe(**changes))})
    assert refused(folder).file == "probe.npz"

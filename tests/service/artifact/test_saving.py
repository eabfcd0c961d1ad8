"""Saving an artifact is all or nothing, and never changes a version that exists."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from service.artifact.artifact import load_artifact, read_manifest, save_artifact
from service.artifact.manifest import MANIFEST_FILE, Manifest
from service.errors import ArtifactError
from tests.service.artifacts import save_babble


@dataclass(frozen=True)
class Draft:
    manifest: Manifest
    files: dict[str, bytes]


def draft(tmp_path: Path) -> Draft:
    folder = save_babble(tmp_path / "source")
    manifest = read_manifest(folder)
    return Draft(manifest, {name: (folder / name).read_bytes() for name in manifest.files})


def everything_in(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_what_was_saved_is_loaded_with_the_files_that_only_people_read(tmp_path: Path) -> None:
    made = draft(tmp_path)
    save_artifact(tmp_path / "copy" / "1", made.manifest, made.files | {"card.md": b"# Babble"})
    assert load_artifact(tmp_path / "copy" / "1").manifest == made.manifest
    assert (tmp_path / "copy" / "1" / "card.md").read_bytes() == b"# Babble"


def test_the_folder_can_be_read_by_others(tmp_path: Path) -> None:
    assert save_babble(tmp_path).stat().st_mode & 0o777 == 0o755


def test_a_version_is_never_overwritten(tmp_path: Path) -> None:
    made = draft(tmp_path)
    target = tmp_path / "models" / "babble" / "1"
    save_artifact(target, made.manifest, made.files)
    before = everything_in(tmp_path)
    with pytest.raises(ArtifactError, match="exists"):
        save_artifact(target, made.manifest, made.files | {"card.md": b"other"})
    assert everything_in(tmp_path) == before


@pytest.mark.parametrize("change", ["missing", "different"])
def test_files_that_the_checksums_do_not_match_leave_no_trace(change: str, tmp_path: Path) -> None:
    made = draft(tmp_path)
    files = {n: b for n, b in made.files.items() if change == "different" or n != "model.onnx"}
    if change == "different":
        files["model.onnx"] += b"\0"
    with pytest.raises(ArtifactError) as caught:
        save_artifact(tmp_path / "models" / "babble" / "1", made.manifest, files)
    assert caught.value.file == "model.onnx"
    assert not (tmp_path / "models").exists()


@pytest.mark.parametrize("name", ["../card.md", "notes/card.md", "..", MANIFEST_FILE])
def test_a_file_name_that_is_a_path_or_the_manifest_leaves_no_trace(
    name: str, tmp_path: Path
) -> None:
    made = draft(tmp_path)
    before = everything_in(tmp_path)
    with pytest.raises(ArtifactError):
        save_artifact(
            tmp_path / "models" / "babble" / "1", made.manifest, made.files | {name: b"x"}
        )
    assert everything_in(tmp_path) == before


class FailsLate(Mapping[str, bytes]):
    """Lets all of its files be checked (looked up, read); then the disk is full."""

    def __init__(self, files: dict[str, bytes]) -> None:
        self._files = files
        self._reads_left = dict.fromkeys(files, 3) | {list(files)[-1]: 2}

    def __getitem__(self, name: str) -> bytes:
        if not self._reads_left[name]:
            raise OSError("no space left")
        self._reads_left[name] -= 1
        return self._files[name]

    def __len__(self) -> int:
        return len(self._files)

    def __iter__(self) -> Iterator[str]:
        return iter(self._files)


def test_a_failure_half_way_leaves_no_trace(tmp_path: Path) -> None:
    made = draft(tmp_path)
    with pytest.raises(OSError, match="no space"):
        save_artifact(tmp_path / "models" / "babble" / "1", made.manifest, FailsLate(made.files))
    assert list((tmp_path / "models" / "babble").iterdir()) == []

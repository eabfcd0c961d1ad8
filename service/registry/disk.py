"""What lies in the models folder: `name/version/`, each with a manifest."""

import re
from dataclasses import dataclass
from pathlib import Path

from service.artifact.artifact import Artifact, load_artifact
from service.artifact.manifest import MANIFEST_FILE
from service.errors import ArtifactError, ModelNotFound

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
_VERSION = re.compile(r"[1-9][0-9]{0,8}")
"""As a folder is named: one way to write each number."""


@dataclass(frozen=True, slots=True)
class ModelRef:
    """A model's name, and a version where one was asked for."""

    name: str
    version: int | None = None

    @classmethod
    def parse(cls, text: str) -> "ModelRef":
        """`name`, `name@3` or `name@latest`. Raises ModelNotFound, for it can be no model's."""
        name, at, version = text.partition("@")
        if _NAME.fullmatch(name):
            if not at or version == "latest":
                return cls(name)
            if re.fullmatch(r"[0-9]{1,9}", version):
                return cls(name, int(version))
        raise ModelNotFound(f"no model {text[:80]!r}", param="model")

    def __str__(self) -> str:
        return self.name if self.version is None else f"{self.name}@{self.version}"


def scan(models_dir: Path) -> dict[str, list[int]]:
    """The versions of every model, ascending. A folder without a manifest is no version."""
    found: dict[str, list[int]] = {}
    if not models_dir.is_dir():
        return found
    for model in sorted(models_dir.iterdir()):
        if not model.is_dir() or not _NAME.fullmatch(model.name):
            continue
        versions = [
            int(version.name)
            for version in model.iterdir()
            if _VERSION.fullmatch(version.name) and (version / MANIFEST_FILE).is_file()
        ]
        if versions:
            found[model.name] = sorted(versions)
    return found


def load_version(models_dir: Path, name: str, version: int) -> Artifact:
    """Load `name/version`, which must be what it says it is. Raises ArtifactError."""
    artifact = load_artifact(models_dir / name / str(version))
    manifest = artifact.manifest
    for field, seen, expected in (
        ("name", manifest.name, name),
        ("version", manifest.version, version),
    ):
        if seen != expected:
            raise ArtifactError(
                f"is {seen!r}, but it lies in {name}/{version}", file=MANIFEST_FILE, field=field
            )
    return artifact

"""Second versions of models: the same weights, with graphs for single steps and for int8."""

from pathlib import Path

from service.artifact.artifact import load_artifact, save_artifact
from service.artifact.manifest import MANIFEST_FILE
from tests.load.reference import MODELS
from training.export.quantize import next_manifest, quantize


def add_integers(models: Path) -> None:
    """Write `name/2` beside `name/1` of each model that is compared; the peers stay with that."""
    for name in MODELS.values():
        model = models / name
        artifact = load_artifact(model / "1")
        quantized = quantize(artifact)
        manifest = next_manifest(artifact, quantized, version=2, metrics=())
        files = {path.name: path.read_bytes() for path in artifact.folder.iterdir()}
        del files[MANIFEST_FILE]
        save_artifact(model / "2", manifest, files | dict(quantized.files))

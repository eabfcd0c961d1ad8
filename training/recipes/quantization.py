"""From a published version to the next one in integers: make, prove, measure, publish or refuse."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from service.artifact.artifact import Artifact, load_artifact, save_artifact
from service.artifact.manifest import MANIFEST_FILE
from training.config import load_config
from training.data.build import build as build_data
from training.evaluation.card import with_integers
from training.evaluation.comparison import Compared, compare
from training.evaluation.evaluate import evaluate
from training.export.lowering.rewriting import LoweringError
from training.export.publish import latest_version
from training.export.quantize import Quantized, next_manifest, quantize
from training.recipes.steps import CARD_FILE, RECIPE_FILE, Folders
from training.runner import Runner


@dataclass(frozen=True, slots=True)
class Published:
    """A version in integers, and its figures beside float32's."""

    folder: Path
    compared: tuple[Compared, ...]


def publish_quantized(name: str, folders: Folders) -> Published:
    """Write the newest version in integers as the next one.

    Raises LoweringError, VerificationError or AccuracyLost, and writes nothing, where a layer
    cannot be lowered, a claim is broken, or a figure loses too much.
    """
    newest = latest_version(folders.models, name)
    if newest is None:
        raise LoweringError(f"no published version of {name} in {folders.models}")
    artifact = load_artifact(newest)
    if artifact.manifest.int8 is not None:
        raise LoweringError(f"{newest} is in integers already")
    if artifact.manifest.encoder is not None:
        raise LoweringError(f"{newest} is two graphs, and only single ones are lowered")
    quantized = quantize(artifact)
    compared = _compare(artifact, quantized)
    return Published(_write(artifact, quantized, compared), compared)


def _compare(artifact: Artifact, quantized: Quantized) -> tuple[Compared, ...]:
    """Both graphs on the data that the version was measured on."""
    config = load_config((artifact.folder / RECIPE_FILE).read_bytes())
    data = build_data(config.data, config.seed)
    floats = Runner(artifact.model_path, artifact.manifest.graph)
    before, after = (evaluate(config, data, runner) for runner in (floats, quantized.runner))
    return compare(before.metrics, after.metrics)


def _write(artifact: Artifact, quantized: Quantized, compared: Sequence[Compared]) -> Path:
    """Beside the version that it was made from, with all of that one's files."""
    version = artifact.manifest.version + 1
    metrics = [pair.metric for pair in compared]
    manifest = next_manifest(artifact, quantized, version=version, metrics=metrics)
    files = {path.name: path.read_bytes() for path in artifact.folder.iterdir()}
    del files[MANIFEST_FILE]
    card = with_integers(files[CARD_FILE].decode(), version, compared, quantized.verification)
    folder = artifact.folder.parent / str(version)
    save_artifact(folder, manifest, {**files, **quantized.files, CARD_FILE: card.encode()})
    load_artifact(folder)
    return folder

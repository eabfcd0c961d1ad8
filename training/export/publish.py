"""A verified graph becomes a version: a folder that never changes again, or nothing at all."""

import platform
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from service.artifact.artifact import digest, dump_probe, load_artifact, save_artifact
from service.artifact.manifest import Manifest, Metric, Probe, Provenance
from training.config import RunConfig
from training.data.build import AnyData
from training.export.encoder_decoder import PairGraphs
from training.export.graph import Graph
from training.export.manifest import meaning, probe
from training.export.verify import as_torch

_PROBE_FILE = "probe.npz"
_TOLD_VERSIONS = ("torch", "onnx", "onnxruntime", "tokenizers")


@dataclass(frozen=True, slots=True)
class Findings:
    """What was measured of a graph before it was published."""

    metrics: tuple[Metric, ...]
    verification: Mapping[str, float]
    """As `verify` returned it; without it nothing is published."""


def next_version(models: Path, name: str) -> int:
    """One more than the newest version in `models/<name>`."""
    versions = [int(folder.name) for folder in (models / name).glob("[0-9]*")]
    return max(versions, default=0) + 1


def latest_version(models: Path, name: str) -> Path | None:
    """The folder of the newest version, if there is one."""
    newest = next_version(models, name) - 1
    return models / name / str(newest) if newest else None


def write_artifact(
    folder: Path,
    graph: Graph | PairGraphs,
    findings: Findings,
    *,
    config: RunConfig,
    data: AnyData,
    version: int,
    pages: Mapping[str, bytes],
) -> None:
    """Write `folder` and read it back. `pages` are unchecked: the card, its pictures, the recipe.

    Raises ArtifactError if the folder exists, or does not load as it must.
    """
    meant = meaning(data, config)
    files = {**graph.files, _PROBE_FILE: dump_probe(probe(data, graph.runner())), **meant.files}
    encoder = graph.encoder_spec if isinstance(graph, PairGraphs) else None
    manifest = Manifest(
        name=config.name,
        version=version,
        description=config.description,
        licence=f"data: {data.facts.licence}",
        task=meant.output.task,
        causal=encoder is None and bool(graph.spec.state),
        graph=graph.spec,
        encoder=encoder,
        input=meant.input,
        output=meant.output,
        probe=Probe(file=_PROBE_FILE, tolerance=as_torch(config.model.cell)),
        files={name: digest(content) for name, content in files.items()},
        provenance=_provenance(config, data, findings),
    )
    save_artifact(folder, manifest, files | dict(pages))
    load_artifact(folder)


def _provenance(config: RunConfig, data: AnyData, findings: Findings) -> Provenance:
    told = {name: version(name) for name in _TOLD_VERSIONS}
    return Provenance(
        recipe=config.name.replace("-", "_"),
        commit=_commit(),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        data=f"{data.facts.title}; {data.facts.source}",
        metrics=findings.metrics,
        verification=dict(findings.verification),
        versions={"python": platform.python_version(), **told},
    )


def _commit() -> str:
    """The last commit that changed training, `-dirty` if the files differ from it."""
    here = Path(__file__).parent.parent
    try:
        head = _git(here, "log", "-1", "--format=%H", "--", ".")
        changed = _git(here, "status", "--porcelain", "--", ".")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return f"{head}-dirty" if changed else head


def _git(folder: Path, *arguments: str) -> str:
    command = ["git", "-C", str(folder), *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

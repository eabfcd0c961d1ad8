"""A model that runs: its artifact, a verified and warm runtime, and an engine around it."""

import time
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.artifact.artifact import Artifact
from service.artifact.manifest import MANIFEST_FILE, AudioInput, Manifest, NumericInput, TextInput
from service.artifact.text import Text
from service.engine.cost import TYPICAL, CostModel
from service.engine.engine import Engine, EngineConfig
from service.engine.pool import Pool
from service.engine.sweep import measure
from service.errors import ArtifactError
from service.registry.form import choose_form, replay
from service.runtime.base import Runtime
from service.runtime.onnx import OnnxRuntime
from service.runtime.session import RuntimeConfig
from service.telemetry.metrics import Metrics


@dataclass(frozen=True, slots=True)
class VerifiedModel:
    """Loaded and proven on this machine, not yet serving."""

    artifact: Artifact
    runtime: Runtime
    device: str
    probe_difference: float
    load_seconds: float
    cost: CostModel = TYPICAL
    """Of its calls on this machine."""
    precision: str = "float32"


@dataclass(frozen=True, slots=True)
class ServedModel:
    verified: VerifiedModel
    engine: Engine
    loaded_at: float
    """Seconds since the epoch."""

    @property
    def manifest(self) -> Manifest:
        return self.verified.artifact.manifest

    @property
    def runtime(self) -> Runtime:
        return self.verified.runtime

    @property
    def text(self) -> Text | None:
        return self.verified.artifact.text


def verify(artifact: Artifact, config: RuntimeConfig) -> VerifiedModel:
    """Load the graph, replay the probe, measure the usual calls. Takes its time: use a thread.

    Raises ArtifactError where the numbers differ from those seen at export, or where the artifact
    needs more than one graph.
    """
    if artifact.manifest.encoder is not None:
        raise ArtifactError(
            "an encoder-decoder: this service steps single graphs",
            file=MANIFEST_FILE,
            field="encoder",
        )
    started = time.monotonic()
    form = choose_form(artifact, config)
    runtime = OnnxRuntime(artifact.folder / form.graph.file, form.graph, config)
    difference = replay(form, runtime)
    cost = measure(runtime, partial(_warm_values, artifact.manifest))
    return VerifiedModel(
        artifact,
        runtime,
        runtime.device,
        difference,
        time.monotonic() - started,
        cost,
        form.precision,
    )


def _warm_values(manifest: Manifest, steps: int) -> NDArray[Any]:
    """Zeros, or the last token: a graph whose embedding ends before it is refused here."""
    match manifest.input:
        case TextInput(num_tokens=num_tokens):
            return np.full(steps, num_tokens - 1, np.int64)
        case NumericInput(features=features):
            return np.zeros((steps, len(features)), np.float32)
        case AudioInput(hop=hop):
            return np.zeros((steps, hop), np.float32)


def serve(
    verified: VerifiedModel, config: EngineConfig, *, pool: Pool, metrics: Metrics
) -> ServedModel:
    """Start the engine on the threads of `pool`; call it on the event loop."""
    manifest = verified.artifact.manifest
    engine = Engine(
        verified.runtime,
        config,
        pool=pool,
        name=manifest.name,
        whole=not manifest.causal,
        metrics=metrics,
        cost=verified.cost,
    )
    return ServedModel(verified, engine, time.time())

"""A model that runs: its artifact, a verified and warm runtime, and an engine around it."""

import time
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.artifact.artifact import Artifact
from service.artifact.manifest import Manifest, NumericInput, TextInput
from service.artifact.text import Text
from service.engine.cost import TYPICAL, CostModel
from service.engine.engine import Engine, EngineConfig
from service.engine.pool import Pool
from service.engine.sweep import measure
from service.errors import ArtifactError
from service.runtime.base import Runtime, StepInput, host_state
from service.runtime.onnx import OnnxRuntime, RuntimeConfig
from service.runtime.state import stack
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

    Raises ArtifactError where the numbers differ from those seen at export.
    """
    started = time.monotonic()
    runtime = OnnxRuntime(artifact.model_path, artifact.manifest.graph, config)
    difference = replay_probe(artifact, runtime)
    cost = measure(runtime, partial(_warm_values, artifact.manifest))
    seconds = time.monotonic() - started
    return VerifiedModel(artifact, runtime, runtime.device, difference, seconds, cost)


def _warm_values(manifest: Manifest, steps: int) -> NDArray[Any]:
    """Zeros, or the last token: a graph whose embedding ends before it is refused here."""
    match manifest.input:
        case TextInput(num_tokens=num_tokens):
            return np.full(steps, num_tokens - 1, np.int64)
        case NumericInput(features=features):
            return np.zeros((steps, len(features)), np.float32)


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


def replay_probe(artifact: Artifact, runtime: Runtime) -> float:
    """The largest `|seen - expected| / max(1, |expected|)`; ArtifactError beyond tolerance."""
    probe = artifact.probe
    rows = len(probe.lengths)
    state = stack([runtime.initial_state()] * rows, runtime.batch_axes)
    dtype = np.dtype(artifact.manifest.graph.input.dtype)
    result = runtime.step(StepInput(probe.inputs.astype(dtype), probe.lengths, state))
    worst = 0.0
    pairs = [(name, result.outputs[name], expected) for name, expected in probe.outputs.items()]
    specs = artifact.manifest.graph.state
    pairs += [
        (spec.output, seen, expected)
        for spec, seen, expected in zip(specs, host_state(result.state), probe.state, strict=True)
    ]
    for name, seen, expected in pairs:
        if seen.shape != expected.shape:
            raise ArtifactError(
                f"{name} has shape {seen.shape}, at export it had {expected.shape}",
                file=artifact.manifest.probe.file,
                field=name,
            )
        if name in runtime.per_step:
            valid = np.arange(seen.shape[1]) < probe.lengths[:, None]
            seen, expected = seen[valid], expected[valid]
        difference = float((np.abs(seen - expected) / np.maximum(1.0, np.abs(expected))).max())
        tolerance = artifact.manifest.probe.tolerance
        if not difference <= tolerance:
            raise ArtifactError(
                f"{name} differs from what was seen at export by {difference:.3g}, "
                f"more than {tolerance:g}",
                file=artifact.manifest.probe.file,
                field=name,
            )
        worst = max(worst, difference)
    return worst

"""A model that runs: its artifact, a verified and warm runtime, and an engine around it.

An encoder-decoder has two of each. All that its encoder reads is for sequences that the decoder's
engine has admitted: that one is held, drained and counted for both.
"""

import time
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.artifact.artifact import Artifact
from service.artifact.manifest import Manifest
from service.artifact.tasks import AudioInput, NumericInput, Seq2SeqOutput, TextInput
from service.artifact.text import Text
from service.engine.cost import TYPICAL, CostModel
from service.engine.engine import Engine, EngineConfig
from service.engine.pool import Pool
from service.engine.sweep import measure
from service.registry.form import Form, choose_form, replay
from service.runtime.base import Runtime
from service.runtime.encoder_decoder import Encoder
from service.runtime.onnx import OnnxRuntime
from service.runtime.session import RuntimeConfig
from service.telemetry.metrics import Metrics

_USUAL_SOURCE_STEPS = 16
"""What a decoder looks back at while its calls are measured."""


@dataclass(frozen=True, slots=True)
class VerifiedEncoder:
    """What reads the sources of an encoder-decoder."""

    runtime: Runtime
    cost: CostModel = TYPICAL


@dataclass(frozen=True, slots=True)
class VerifiedModel:
    """Loaded and proven on this machine, not yet serving."""

    artifact: Artifact
    runtime: Runtime
    """Of an encoder-decoder, the decoder."""
    device: str
    probe_difference: float
    load_seconds: float
    cost: CostModel = TYPICAL
    """Of its calls on this machine."""
    precision: str = "float32"
    encoder: VerifiedEncoder | None = None


@dataclass(frozen=True, slots=True)
class ServedModel:
    verified: VerifiedModel
    engine: Engine
    loaded_at: float
    """Seconds since the epoch."""
    encoder: Engine | None = None
    """Of an encoder-decoder, what reads the sources."""

    @property
    def manifest(self) -> Manifest:
        return self.verified.artifact.manifest

    @property
    def runtime(self) -> Runtime:
        return self.verified.runtime

    @property
    def text(self) -> Text | None:
        return self.verified.artifact.text

    async def close(self) -> None:
        """What is still in flight fails with Draining. Idempotent."""
        await self.engine.close()
        if self.encoder is not None:
            await self.encoder.close()


def verify(artifact: Artifact, config: RuntimeConfig) -> VerifiedModel:
    """Load the graphs, replay the probe, measure the usual calls. Takes its time: use a thread.

    Raises ArtifactError where the numbers differ from those seen at export.
    """
    started = time.monotonic()
    form = choose_form(artifact, config)
    runtime = OnnxRuntime(artifact.folder / form.graph.file, form.graph, config)
    reader = _open_encoder(artifact, config)
    difference = replay(form, runtime, reader)
    sources = partial(_warm_values, artifact.manifest)
    encoder = None if reader is None else VerifiedEncoder(reader, measure(reader, sources))
    cost = measure(runtime, partial(_warm_steps, artifact.manifest), memory=_warm_memory(form))
    return VerifiedModel(
        artifact,
        runtime,
        runtime.device,
        difference,
        time.monotonic() - started,
        cost,
        form.precision,
        encoder,
    )


def _open_encoder(artifact: Artifact, config: RuntimeConfig) -> Encoder | None:
    spec = artifact.manifest.encoder
    if spec is None:
        return None
    return Encoder(artifact.encoder_path, spec, config, state=artifact.manifest.graph.state)


def _warm_steps(manifest: Manifest, steps: int) -> NDArray[Any]:
    """What the engine's own graph reads: a decoder reads what it writes."""
    if isinstance(manifest.output, Seq2SeqOutput):
        return np.full(steps, manifest.output.num_tokens - 1, np.int64)
    return _warm_values(manifest, steps)


def _warm_memory(form: Form) -> NDArray[np.float32] | None:
    memory = form.graph.memory
    return None if memory is None else np.zeros((_USUAL_SOURCE_STEPS, memory.features), np.float32)


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
    manifest, encoder = verified.artifact.manifest, verified.encoder
    # What reads whole sequences cannot be cut in time; a decoder writes step by step.
    start = partial(Engine, config=config, pool=pool, name=manifest.name, metrics=metrics)
    engine = start(
        verified.runtime, whole=not manifest.causal and encoder is None, cost=verified.cost
    )
    reader = None if encoder is None else start(encoder.runtime, whole=True, cost=encoder.cost)
    return ServedModel(verified, engine, time.time(), reader)

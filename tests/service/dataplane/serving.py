"""A data plane on the small real artifacts; a test may look into, hold or break each step."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from prometheus_client import CollectorRegistry

from service.artifact.artifact import Artifact, load_artifact
from service.dataplane.plane import DataPlane
from service.dataplane.types import (
    Call,
    DataPlaneLimits,
    Forecast,
    GenerateRequest,
    GenerationDone,
    GenerationEvent,
    Likelihood,
    Prediction,
    SequenceInput,
    TextPiece,
)
from service.engine.engine import Engine, EngineConfig
from service.engine.pool import Pool
from service.engine.scheduler import SchedulerConfig
from service.errors import ModelNotFound
from service.registry.served_model import ServedModel, VerifiedEncoder, VerifiedModel, serve
from service.runtime.base import Runtime, State, StepInput, StepOutput
from service.runtime.encoder_decoder import Encoder
from service.runtime.onnx import OnnxRuntime
from service.runtime.session import RuntimeConfig
from service.sessions.store.memory import MemoryStore, SessionsConfig
from service.telemetry.metrics import Metrics
from tests.service.artifacts import (
    save_babble,
    save_banded_total,
    save_parity,
    save_running_total,
    save_stress,
)
from tests.service.babel import save_babel
from tests.service.fakes import DEAR_CALLS
from tests.service.sessions.stores import Clock

SMALL = SchedulerConfig(max_rows=4, chunk_steps=4, max_padded_steps=16, lonely_padded_steps=8)
"""So that a few rows and steps make many batches and chunks."""

OnStep = Callable[[StepInput], None]


@cache
def small_artifacts() -> dict[str, Artifact]:
    with TemporaryDirectory() as folder:
        saves = (
            save_running_total,
            save_banded_total,
            save_babble,
            save_parity,
            save_stress,
            save_babel,
        )
        artifacts = [load_artifact(save(Path(folder))) for save in saves]
        for artifact in artifacts:
            runtime_of(artifact)  # while its files are there
            encoder_of(artifact)
    return {artifact.manifest.name: artifact for artifact in artifacts}


_runtimes: dict[str, OnnxRuntime] = {}
"""By the artifact's digest: a graph is loaded once."""


def runtime_of(artifact: Artifact) -> OnnxRuntime:
    if artifact.digest not in _runtimes:
        _runtimes[artifact.digest] = OnnxRuntime(
            artifact.model_path, artifact.manifest.graph, RuntimeConfig(device="cpu")
        )
    return _runtimes[artifact.digest]


_encoders: dict[str, Encoder] = {}


def encoder_of(artifact: Artifact) -> Encoder | None:
    """Of an encoder-decoder; `runtime_of` it is the decoder."""
    spec = artifact.manifest.encoder
    if spec is not None and artifact.digest not in _encoders:
        _encoders[artifact.digest] = Encoder(
            artifact.encoder_path,
            spec,
            RuntimeConfig(device="cpu"),
            state=artifact.manifest.graph.state,
        )
    return _encoders.get(artifact.digest)


def direct(name: str) -> OnnxRuntime:
    """The runtime itself, to compute what the data plane should say."""
    return runtime_of(small_artifacts()[name])


def tokens_of(text: str) -> list[int]:
    """As `babble` reads it."""
    tokenizer = small_artifacts()["babble"].text
    assert tokenizer is not None
    return tokenizer.encode(text).tolist()


@dataclass
class Watched:
    """A runtime whose every step a test sees first, on the engine's thread."""

    runtime: Runtime
    on_step: OnStep

    @property
    def batch_axes(self) -> tuple[int, ...]:
        return self.runtime.batch_axes

    @property
    def per_step(self) -> frozenset[str]:
        return self.runtime.per_step

    def initial_state(self) -> State:
        return self.runtime.initial_state()

    def step(self, step: StepInput) -> StepOutput:
        self.on_step(step)
        return self.runtime.step(step)


@dataclass
class Fixed:
    """A registry that holds what it was given."""

    served: dict[str, ServedModel]

    def models(self) -> list[ServedModel]:
        return list(self.served.values())

    def get(self, ref: str) -> ServedModel:
        if ref not in self.served:
            raise ModelNotFound(f"no model {ref!r}", param="model")
        return self.served[ref]

    def pinned(self, name: str, version: int) -> ServedModel:
        assert self.served[name].manifest.version == version
        return self.served[name]


@dataclass
class Serving:
    plane: DataPlane
    registry: Fixed
    sessions: MemoryStore
    clock: Clock
    engines: list[Engine]
    collectors: CollectorRegistry

    async def idle(self) -> None:
        """Until nothing is in flight; the test's own timeout ends a leak."""
        while any(engine.in_flight for engine in self.engines):  # noqa: ASYNC110 - of several
            await asyncio.sleep(0)

    def metric(self, name: str, **labels: str) -> float:
        return self.collectors.get_sample_value(f"recur_{name}", labels) or 0.0


@asynccontextmanager
async def serving(
    artifacts: Iterable[Artifact] = (),
    *,
    on_step: OnStep = lambda step: None,
    limits: DataPlaneLimits | None = None,
    sessions: SessionsConfig | None = None,
    scheduler: SchedulerConfig = SMALL,
    max_queue: int = 4096,
    num_workers: int = 1,
) -> AsyncIterator[Serving]:
    """The small models, if no others are given. At the end nothing may be left in flight."""
    collectors, clock = CollectorRegistry(), Clock()
    metrics = Metrics(collectors)
    store = MemoryStore(sessions or SessionsConfig(), metrics, now=clock)
    served: dict[str, ServedModel] = {}
    pool = Pool(num_workers)
    for artifact in artifacts or small_artifacts().values():
        runtime, encoder = Watched(runtime_of(artifact), on_step), encoder_of(artifact)
        reads = VerifiedEncoder(Watched(encoder, on_step), DEAR_CALLS) if encoder else None
        verified = VerifiedModel(artifact, runtime, "cpu", 0.0, 0.0, cost=DEAR_CALLS, encoder=reads)
        config = EngineConfig(scheduler, max_queue=max_queue)
        served[artifact.manifest.name] = serve(verified, config, pool=pool, metrics=metrics)
    registry = Fixed(served)
    as_any: Any = registry
    plane = DataPlane(as_any, store, limits=limits or DataPlaneLimits(), metrics=metrics)
    engines = [model.engine for model in served.values()]
    engines += [model.encoder for model in served.values() if model.encoder is not None]
    it = Serving(plane, registry, store, clock, engines, collectors)
    try:
        yield it
        await it.idle()
        assert it.metric("sessions", state="busy") == 0
    finally:
        await asyncio.gather(*(engine.close() for engine in engines))
        await pool.close()


def call(*, tenant: str = "one", deadline: float | None = None) -> Call:
    return Call(tenant, "test", deadline)


def column(values: Sequence[float]) -> np.ndarray:
    """Numbers `[time, 1]`, as the running total reads them."""
    return np.array(values, np.float64)[:, None]


def total_of(prediction: Prediction | Exception) -> float:
    assert isinstance(prediction, Prediction), prediction
    assert isinstance(prediction.answer, Forecast)
    return float(prediction.answer.forecast[0, 0])


def scores_of(prediction: Prediction | Exception) -> np.ndarray:
    assert isinstance(prediction, Prediction), prediction
    assert isinstance(prediction.answer, Likelihood)
    return prediction.answer.token_log_likelihoods


async def predict_one(it: Serving, model: str, value: SequenceInput) -> Prediction:
    predictions = await it.plane.predict(model, [value], call=call())
    (result,) = predictions.results
    assert isinstance(result, Prediction), result
    return result


@dataclass
class Generated:
    """What a stream gave, piece by piece, and its end."""

    pieces: list[TextPiece] = field(default_factory=list)
    done: GenerationDone | None = None

    @property
    def end(self) -> GenerationDone:
        assert self.done is not None
        return self.done

    @property
    def text(self) -> str:
        """Of choice 0."""
        return self.end.choices[0].text

    def streamed(self, index: int = 0) -> str:
        return "".join(piece.text for piece in self.pieces if piece.index == index)


async def collect(events: Any) -> Generated:
    generated = Generated()
    async with aclosing(events):
        async for together in events:
            for event in together:
                accept(generated, event)
    return generated


def accept(generated: Generated, event: GenerationEvent) -> None:
    assert generated.done is None, "nothing follows the end"
    if isinstance(event, GenerationDone):
        generated.done = event
    else:
        generated.pieces.append(event)


async def generate(it: Serving, **request: Any) -> Generated:
    return await collect(it.plane.generate("babble", GenerateRequest(**request), call=call()))


async def go_on(it: Serving, session_id: str, step: int | None = None, **request: Any) -> Generated:
    events = it.plane.session_generate(
        session_id, GenerateRequest(**request), call=call(), step=step
    )
    return await collect(events)

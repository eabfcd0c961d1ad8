"""A data plane that is small enough to know by heart: its model sums what it is given."""

import asyncio
import threading
from collections.abc import AsyncGenerator, Sequence
from functools import cache

import numpy as np
from msgspec.structs import replace

from service.artifact.graphs import GraphSpec, StateSpec, TensorSpec
from service.artifact.manifest import Manifest, Provenance
from service.artifact.tasks import ForecastingOutput, NumericInput, Task
from service.dataplane.plane import DataPlane
from service.dataplane.types import (
    DEFAULT_SEARCH,
    Attention,
    Call,
    Choice,
    Chunk,
    Feed,
    Forecast,
    GenerateRequest,
    GenerationDone,
    GenerationEvent,
    GenerationUsage,
    Likelihood,
    ModelInfo,
    OpenRequest,
    Prediction,
    Predictions,
    SearchRequest,
    SequenceInput,
    SessionInfo,
    StepReply,
    TextPiece,
    TokenLogprob,
)
from service.errors import (
    InvalidInput,
    ModelFailed,
    ModelNotFound,
    QueueFull,
    RecurError,
    SessionExists,
    SessionNotFound,
    StepMismatch,
)

NUM_FEATURES = 2
_EPOCH = 1_767_225_600.0  # 2026-01-01T00:00:00Z


@cache
def manifest() -> Manifest:
    """Of `sums`, a model of two features whose forecast is the total of all it has seen."""
    return Manifest(
        name="sums",
        version=3,
        description="Sums its input",
        task=Task.FORECASTING,
        causal=True,
        graph=GraphSpec(
            file="model.onnx",
            inputs=(TensorSpec(name="x", dtype="float32", shape=("batch", "time", NUM_FEATURES)),),
            lengths="lengths",
            outputs=(
                TensorSpec(
                    name="forecast", dtype="float32", shape=("batch", "time", 1, NUM_FEATURES)
                ),
            ),
            state=(
                StateSpec(
                    input="total",
                    output="total_out",
                    shape=(1, "batch", NUM_FEATURES),
                    batch_axis=1,
                ),
            ),
        ),
        input=NumericInput(features=("a", "b")),
        output=ForecastingOutput(horizon=1, targets=("a", "b")),
        files={"model.onnx": "0" * 64, "probe.npz": "0" * 64},
        provenance=Provenance(recipe="sums", commit="0", created="2026-01-01", data="none"),
    )


class FakeDataPlane(DataPlane):
    """Words in the prompt tell a generation what to do, e.g. `fail` or `wait`.

    `entered` and `left` are set when work begins and when it is over, however it ends.
    """

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self.requests: list[GenerateRequest] = []
        self.opened: list[OpenRequest] = []
        self.entered = threading.Event()
        self.left = threading.Event()
        self._live: dict[str, tuple[str, SessionInfo]] = {}
        self._totals: dict[str, np.ndarray] = {}
        self._past: dict[tuple[str, int], StepReply] = {}

    def models(self) -> list[ModelInfo]:
        return [ModelInfo(manifest(), "0" * 64, "cpu", _EPOCH, 0.0)]

    def model(self, ref: str) -> ModelInfo:
        if ref not in ("sums", "sums@3", "sums@latest"):
            raise ModelNotFound(f"no model {ref!r}", param="model")
        return self.models()[0]

    async def predict(
        self,
        ref: str,
        inputs: Sequence[SequenceInput],
        *,
        call: Call,
        raw: bool = False,
        explain: bool = False,
        search: SearchRequest = DEFAULT_SEARCH,
    ) -> Predictions:
        self.model(ref)
        self.calls.append(call)
        if not inputs:
            raise InvalidInput("at least one sequence", param="inputs")
        if isinstance(inputs[0], str):
            await self._obey(inputs[0])
        results = [self._predict(value, raw) for value in inputs]
        if explain:
            results = [_explained(result) for result in results]
        return Predictions("sums", 3, results)

    async def generate(
        self, ref: str, request: GenerateRequest, *, call: Call
    ) -> AsyncGenerator[list[GenerationEvent]]:
        self.model(ref)
        async for together in self._events(request, call):
            yield together

    async def open_session(self, ref: str, request: OpenRequest, *, call: Call) -> SessionInfo:
        self.model(ref)
        self.opened.append(request)
        session_id = request.session_id or f"session-{len(self._live)}"
        if session_id in self._live:
            raise SessionExists(f"the session {session_id!r} is live", param="session_id")
        info = SessionInfo(
            session_id, "sums", 3, 0, _EPOCH + 600, _EPOCH, False, 8, {"total": 0.0}, {}
        )
        info = replace(info, metadata=request.metadata)
        self._live[session_id] = (call.tenant, info)
        self._totals[session_id] = np.zeros(NUM_FEATURES, np.float32)
        return info

    async def feed(
        self,
        session_id: str,
        chunk: SequenceInput,
        *,
        call: Call,
        step: int | None = None,
        raw: bool = False,
    ) -> Feed:
        info = await self.session(session_id, call=call)
        self.calls.append(call)
        if isinstance(chunk, RecurError):
            raise chunk
        if isinstance(chunk, str):
            await self._obey(chunk)
        if step is not None and (past := self._past.get((session_id, step))):
            return Feed(past, replayed=True, model="sums")
        if step is not None and step != info.step:
            raise StepMismatch("elsewhere", param="step", details={"expected_step": info.step})
        numbers = _numbers(chunk)
        self._totals[session_id] = total = self._totals[session_id] + numbers.sum(axis=0)
        prediction = Prediction(Forecast(total[None]), len(numbers))
        reply = StepReply(session_id, info.step + len(numbers), prediction, _EPOCH + 601)
        self._past[session_id, info.step] = reply
        self._live[session_id] = (call.tenant, replace(info, step=reply.step))
        return Feed(reply, replayed=False, model="sums")

    async def feed_many(self, chunks: Sequence[Chunk], *, call: Call) -> list[Feed | RecurError]:
        results: list[Feed | RecurError] = []
        for chunk in chunks:
            try:
                feed = await self.feed(
                    chunk.session_id, chunk.inputs, call=call, step=chunk.step, raw=chunk.raw
                )
                results.append(feed)
            except RecurError as error:
                results.append(error)
        return results

    async def session_generate(
        self, session_id: str, request: GenerateRequest, *, call: Call, step: int | None = None
    ) -> AsyncGenerator[list[GenerationEvent]]:
        info = await self.session(session_id, call=call)
        async for (event,) in self._events(request, call):
            done = isinstance(event, GenerationDone)
            yield [replace(event, session=replace(info, step=4)) if done else event]

    async def session(self, session_id: str, *, call: Call) -> SessionInfo:
        tenant, info = self._live.get(session_id, (None, None))
        if info is None or tenant != call.tenant:
            raise SessionNotFound(f"no session {session_id!r}", param="session_id")
        return info

    async def sessions(self, *, call: Call) -> list[SessionInfo]:
        return [info for tenant, info in self._live.values() if tenant == call.tenant]

    async def fork_session(
        self, session_id: str, *, call: Call, new_id: str | None = None
    ) -> SessionInfo:
        info = await self.session(session_id, call=call)
        return await self.open_session(info.model, OpenRequest(session_id=new_id), call=call)

    async def end_session(self, session_id: str, *, call: Call) -> SessionInfo:
        info = await self.session(session_id, call=call)
        del self._live[session_id]
        return info

    async def _events(
        self, request: GenerateRequest, call: Call
    ) -> AsyncGenerator[list[GenerationEvent]]:
        self.calls.append(call)
        self.requests.append(request)
        words = request.prompt.split() if isinstance(request.prompt, str) else []
        logprobs = () if request.logprobs is None else (TokenLogprob("a", -0.5, {"a": -0.5}),)
        try:
            for word in words:
                await self._obey(word)
                yield [TextPiece(0, word, logprobs)]
                if word == "pause":
                    await asyncio.sleep(0.05)
        finally:
            self.left.set()
        choice = Choice(0, "".join(words), "stop", logprobs or None)
        usage = GenerationUsage(prompt_tokens=1, completion_tokens=len(words))
        yield [GenerationDone("sums", 3, (choice,), usage)]

    async def _obey(self, word: str) -> None:
        match word:
            case "fail":
                raise ModelFailed("the model broke")
            case "full":
                raise QueueFull("the queue is full", retry_after_seconds=2.5)
            case "crash":
                raise ZeroDivisionError("a secret of the inside")
            case "pause":
                self.entered.set()
            case "wait":
                self.entered.set()
                try:
                    await asyncio.Event().wait()
                finally:
                    self.left.set()
            case _:
                return

    def _predict(self, value: SequenceInput, raw: bool) -> Prediction | RecurError:
        if isinstance(value, RecurError):
            return value
        if isinstance(value, str):
            return Prediction(Likelihood(-1.5, 4.48, list(value), np.array([-1.5])), len(value))
        try:
            numbers = _numbers(value)
        except InvalidInput as error:
            return error
        total = numbers.sum(axis=0, keepdims=True)
        return Prediction(Forecast(total), len(numbers), {"forecast": total[None]} if raw else None)


def _explained(result: Prediction | RecurError) -> Prediction | RecurError:
    """One head that looks at the last step alone."""
    if isinstance(result, RecurError):
        return result
    weights = np.zeros(result.steps, np.float32)
    weights[-1] = 1
    return replace(result, attention=Attention(weights))


def _numbers(value: SequenceInput) -> np.ndarray:
    if not isinstance(value, np.ndarray) or value.ndim != 2 or value.shape[1] != NUM_FEATURES:
        raise InvalidInput(
            f"the model reads rows of {NUM_FEATURES} numbers",
            param="inputs",
            details={"features": NUM_FEATURES},
        )
    return value

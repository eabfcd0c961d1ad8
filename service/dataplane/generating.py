"""Generation as the data plane knows it: a request to rows of the engine, their items to events."""

import secrets
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from service.artifact.tasks import LanguageModelingOutput, SamplingDefaults
from service.artifact.text import Text
from service.dataplane.checking import check, pick, pick_max_tokens
from service.dataplane.reading import read_to_end
from service.dataplane.types import (
    Call,
    Choice,
    DataPlaneLimits,
    GenerateRequest,
    GenerationDone,
    GenerationUsage,
    TextPiece,
    TokenLogprob,
)
from service.engine.collector import Collector
from service.engine.continuations import Read
from service.engine.engine import Row
from service.engine.generation import (
    Generate,
    GeneratedText,
    GenerationFinished,
    GenerationParams,
    SampledToken,
    for_choice,
)
from service.engine.sampling import SamplingParams
from service.errors import InvalidInput, RecurError, TaskMismatch
from service.registry.served_model import ServedModel
from service.sessions.session import SessionState
from service.telemetry.metrics import Metrics

_MAX_SEED = (1 << 64) - 1


@dataclass(frozen=True, slots=True)
class GenerationPlan:
    """A checked request: all that is needed to run it on `model`."""

    model: ServedModel
    text: Text
    params: GenerationParams
    prompt: NDArray[np.int64]
    """Token ids `[time]`, possibly none; of an encoder-decoder, the source."""
    num_choices: int
    stream: bool


@dataclass(frozen=True, slots=True)
class GenerationEnd:
    """The event that ends the stream, and the state to go on from (of the one choice)."""

    done: GenerationDone
    state: SessionState
    num_steps: int


def text_model(model: ServedModel) -> tuple[Text, LanguageModelingOutput]:
    """What only a language model has. Raises TaskMismatch."""
    output = model.manifest.output
    if model.text is None or not isinstance(output, LanguageModelingOutput):
        raise TaskMismatch(
            f"only a language model generates; {model.manifest.name} does "
            f"{model.manifest.task.value}",
            param="model",
        )
    return model.text, output


def plan(
    model: ServedModel,
    request: GenerateRequest,
    prompt: NDArray[np.int64],
    limits: DataPlaneLimits,
) -> GenerationPlan:
    """Check the request against the model and the limits. Raises InvalidInput that names them."""
    text, output = text_model(model)
    for name in ("beam_width", "length_penalty"):
        if getattr(request, name) is not None:
            raise InvalidInput(
                f"{model.manifest.name} goes on with a text; it searches for none", param=name
            )
    params = generation_params(
        request, output.sampling, limits, logits=output.logits, end_token=output.end_token
    )
    return GenerationPlan(model, text, params, prompt, request.n, request.stream)


def generation_params(
    request: GenerateRequest,
    defaults: SamplingDefaults,
    limits: DataPlaneLimits,
    *,
    logits: str,
    end_token: int | None,
) -> GenerationParams:
    """How to choose token after token. Raises InvalidInput that names the field and its limit."""
    max_tokens = pick_max_tokens(request.max_tokens, defaults.max_tokens, limits)
    check("n", request.n, 1, limits.max_choices, setting="RECUR_MAX_CHOICES")
    temperature = pick(request.temperature, defaults.temperature)
    check("temperature", temperature, 0.0, 100.0)
    top_k = pick(request.top_k, defaults.top_k)
    check("top_k", top_k, 0, 1 << 31)
    top_p = pick(request.top_p, defaults.top_p)
    check("top_p", top_p, 1e-9, 1.0)
    check("repetition_penalty", request.repetition_penalty, 0.01, 100.0)
    seed = secrets.randbits(63) if request.seed is None else request.seed
    check("seed", seed, 0, _MAX_SEED)
    num_logprobs, num_stops = request.logprobs or 0, len(request.stop)
    check("logprobs", num_logprobs, 0, limits.max_logprobs, setting="RECUR_MAX_LOGPROBS")
    check("stop", num_stops, 0, limits.max_stop_strings, setting="RECUR_MAX_STOP_STRINGS")
    if not all(request.stop):
        raise InvalidInput("a stop string must not be empty", param="stop")
    return GenerationParams(
        SamplingParams(temperature, top_k, top_p, request.repetition_penalty, seed),
        max_tokens,
        logits,
        end_token=end_token,
        stop=request.stop,
        logprobs=request.logprobs,
    )


async def run(
    plan: GenerationPlan,
    start: SessionState,
    *,
    call: Call,
    metrics: Metrics,
    reused_steps: int = 0,
) -> AsyncGenerator[list[TextPiece] | GenerationEnd]:
    """Pieces, those of one step together, then one GenerationEnd.

    Closing the iterator drops the work within one step.
    """
    began = time.monotonic()
    context = start.context(plan.prompt)
    state = start.tensors
    if plan.num_choices > 1 and len(context) > 1:
        state = await _prefill(plan, context[:-1], start, call)
        context = context[-1:]
    rows = [
        Row(
            context,
            state,
            Generate(
                for_choice(plan.params, index), plan.text, prompt=plan.prompt, stream=plan.stream
            ),
        )
        for index in range(plan.num_choices)
    ]
    collector = plan.model.engine.submit(rows, deadline=call.deadline, flow=call.flow)
    progress = Progress(plan, metrics, began)
    async with aclosing(follow(collector, progress)) as pieces:
        async for together in pieces:
            yield together
    yield progress.end(reused_steps)


async def follow(collector: Collector, progress: "Progress") -> AsyncGenerator[list[TextPiece]]:
    """Pieces of the rows that `collector` is of; closing the iterator drops their work."""
    try:
        while arrivals := await collector.take():
            pieces: list[TextPiece] = []
            error: RecurError | None = None
            for arrival in arrivals:
                error = error or arrival.error
                if error is None and (piece := progress.accept(arrival.key, arrival.item)):
                    pieces.append(piece)
            if pieces:
                yield pieces
            if error is not None:
                raise error
    finally:
        collector.close()


async def _prefill(
    plan: GenerationPlan, inputs: NDArray[np.int64], start: SessionState, call: Call
) -> tuple[NDArray[np.float32], ...]:
    """Read the prompt once for all choices."""
    reader = Read(plan.model.runtime.per_step)
    (end,) = await read_to_end(plan.model, [Row(inputs, start.tensors, reader)], call)
    if isinstance(end, RecurError):
        raise end
    return end.state


class Progress:
    """The choices so far."""

    def __init__(self, plan: GenerationPlan, metrics: Metrics, began: float) -> None:
        self._plan = plan
        name = plan.model.manifest.name
        self._first = metrics.time_to_first_token_seconds.labels(name)
        self._between = metrics.inter_token_seconds.labels(name)
        self._tokens = metrics.tokens.labels(name)
        self._began = began
        self._last_at: dict[int, float] = {}
        self._texts: list[list[str]] = [[] for _ in range(plan.num_choices)]
        self._logprobs: list[list[TokenLogprob]] = [[] for _ in range(plan.num_choices)]
        self._ends: dict[int, GenerationFinished] = {}

    def accept(self, index: int, item: object) -> TextPiece | None:
        """What to send of an item of one choice."""
        if isinstance(item, GenerationFinished):
            self._ends[index] = item
            item = item.piece
        assert isinstance(item, GeneratedText), "a generating row gives text"
        self._observe(index, item.num_tokens)
        logprobs = tuple(self._describe(token) for token in item.tokens)
        self._texts[index].append(item.text)
        self._logprobs[index].extend(logprobs)
        return TextPiece(index, item.text, logprobs) if item.text or logprobs else None

    def end(self, reused_steps: int) -> GenerationEnd:
        plan, ends = self._plan, self._ends
        choices = tuple(
            Choice(
                index,
                "".join(self._texts[index]),
                ends[index].reason,
                None if plan.params.logprobs is None else tuple(self._logprobs[index]),
            )
            for index in range(plan.num_choices)
        )
        num_prompt = len(plan.prompt)
        usage = GenerationUsage(
            prompt_tokens=num_prompt,
            completion_tokens=sum(end.num_tokens for end in ends.values()),
            reused_tokens=reused_steps + num_prompt * (plan.num_choices - 1),
        )
        manifest = plan.model.manifest
        done = GenerationDone(manifest.name, manifest.version, choices, usage)
        first = ends[0]
        state = SessionState(first.state, first.last_token)
        return GenerationEnd(done, state, num_prompt + first.num_tokens)

    def _observe(self, index: int, num_tokens: int) -> None:
        now = time.monotonic()
        self._tokens.inc(num_tokens)
        last = self._last_at.get(index)
        if last is None:
            self._first.observe(now - self._began)
        elif num_tokens:
            self._between.observe((now - last) / num_tokens)
        self._last_at[index] = now

    def _describe(self, token: SampledToken) -> TokenLogprob:
        name = self._plan.text.token
        top = {name(token_id): logprob for token_id, logprob in token.top}
        return TokenLogprob(name(token.token_id), token.logprob, top)

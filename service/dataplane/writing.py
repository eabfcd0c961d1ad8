"""The text that another one becomes, as a generation: token by token, or searched for whole."""

import time
from collections.abc import AsyncGenerator
from contextlib import aclosing

import numpy as np
from numpy.typing import NDArray

from service.artifact.tasks import SamplingDefaults
from service.dataplane.aligning import Found
from service.dataplane.checking import check
from service.dataplane.generating import GenerationPlan, Progress, follow, generation_params
from service.dataplane.searching import Search
from service.dataplane.sources import Begun, Translator, read_sources
from service.dataplane.translating import find, search_of
from service.dataplane.types import (
    Call,
    Choice,
    DataPlaneLimits,
    GenerateRequest,
    GenerationDone,
    GenerationEvent,
    GenerationUsage,
    SearchRequest,
)
from service.engine.engine import Row
from service.engine.generation import Generate, for_choice
from service.errors import InvalidInput, RecurError
from service.telemetry.metrics import Metrics

_OF_STEPS = ("temperature", "top_k", "top_p", "logprobs")
"""Fields about the choice of each token, which a search does not make."""
_GREEDY = 0.0
"""The temperature where a request names none: the likeliest token is taken."""


async def write(
    translator: Translator,
    source: NDArray[np.int64],
    request: GenerateRequest,
    *,
    limits: DataPlaneLimits,
    call: Call,
    metrics: Metrics,
) -> AsyncGenerator[list[GenerationEvent]]:
    """For `source`, token ids `[source_time]`: pieces as they become certain, then the end.

    Closing the iterator drops the work within one step. Raises InvalidInput.
    """
    plan = _plan(translator, source, request, limits)
    if isinstance(plan, Search):
        found = await _search(translator, source, plan, call=call)
        done = _done(translator, found, num_texts=request.n)
        metrics.tokens.labels(done.model).inc(done.usage.completion_tokens)
        yield [done]
        return
    async with aclosing(_by_steps(translator, plan, call=call, metrics=metrics)) as events:
        async for together in events:
            yield together


def _plan(
    translator: Translator,
    source: NDArray[np.int64],
    request: GenerateRequest,
    limits: DataPlaneLimits,
) -> GenerationPlan | Search:
    """Check the request. Raises InvalidInput that names the field, and its limit."""
    output = translator.output
    if _is_searched(request):
        asked = SearchRequest(request.beam_width, request.length_penalty, request.max_tokens)
        search = search_of(translator, asked, limits)
        most = min(search.params.width, limits.max_choices)
        check("n", request.n, 1, most, setting="beam_width, or RECUR_MAX_CHOICES")
        return search
    defaults = SamplingDefaults(temperature=_GREEDY, max_tokens=output.search.max_tokens)
    params = generation_params(
        request, defaults, limits, logits=output.logits, end_token=output.end_token
    )
    text = translator.target_text
    return GenerationPlan(translator.model, text, params, source, request.n, request.stream)


async def _search(
    translator: Translator, source: NDArray[np.int64], search: Search, *, call: Call
) -> Found:
    reserved = translator.decoder.reserve(1, deadline=call.deadline, flow=call.flow)
    with reserved as submit:
        (found,) = await find(translator, [source], search, call=call, submit=submit)
    if isinstance(found, RecurError):
        raise found
    return found


def _done(translator: Translator, found: Found, *, num_texts: int) -> GenerationDone:
    choices = tuple(
        Choice(index, translator.target_text.decode(one.hypothesis.tokens), one.reason)
        for index, one in enumerate(found.ranked[:num_texts])
    )
    usage = GenerationUsage(len(found.begun.source), found.num_tokens(num_texts))
    manifest = translator.model.manifest
    return GenerationDone(manifest.name, manifest.version, choices, usage)


async def _by_steps(
    translator: Translator, plan: GenerationPlan, *, call: Call, metrics: Metrics
) -> AsyncGenerator[list[GenerationEvent]]:
    began, num_choices = time.monotonic(), plan.num_choices
    reserved = translator.decoder.reserve(num_choices, deadline=call.deadline, flow=call.flow)
    with reserved as submit:
        (begun,) = await read_sources(translator, [plan.prompt], call)
        if isinstance(begun, RecurError):
            raise begun
        progress = Progress(plan, metrics, began)
        rows = [_row(translator, begun, plan, choice) for choice in range(num_choices)]
        async with aclosing(follow(submit(rows), progress)) as pieces:
            async for together in pieces:
                yield [*together]
    yield [progress.end(reused_steps=0).done]


def _row(translator: Translator, begun: Begun, plan: GenerationPlan, choice: int) -> Row:
    """What was written counts as repetition, and not what was read."""
    params = for_choice(plan.params, choice)
    writer = Generate(params, plan.text, prompt=(), stream=plan.stream)
    start = np.array([translator.output.start_token], np.int64)
    return Row(start, begun.state, writer, begun.memory)


def _is_searched(request: GenerateRequest) -> bool:
    """Or written token by token. Raises InvalidInput where the request asks for both."""
    by_steps = [name for name in _OF_STEPS if getattr(request, name) is not None]
    by_steps += [name for name in ("stop", "stream") if getattr(request, name)]
    if request.repetition_penalty != 1.0:
        by_steps.append("repetition_penalty")
    if not by_steps:
        return True
    is_wide = request.beam_width not in (None, 1)
    if is_wide or request.length_penalty is not None:
        name = "beam_width" if is_wide else "length_penalty"
        raise InvalidInput(
            f"{name} asks for a search, which knows its text at the end only; {by_steps[0]} asks "
            "for a text that is written token by token",
            param=name,
            details={"excludes": by_steps},
        )
    return False

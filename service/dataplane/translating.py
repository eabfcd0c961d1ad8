"""A text that becomes another one: its source is read, then the target is searched for.

All that one request does is admitted at once, so that none of it is refused midway.
"""

from collections.abc import Sequence

import msgspec
import numpy as np
from msgspec.structs import asdict
from numpy.typing import NDArray

from service.artifact.beam import BeamParams
from service.dataplane.aligning import Found, alignment_of, read_again
from service.dataplane.checking import check, pick, pick_max_tokens
from service.dataplane.raw import RawRoom
from service.dataplane.searching import Search, search_all
from service.dataplane.sources import Begun, Translator, read_sources
from service.dataplane.stages import of_those_left
from service.dataplane.types import Call, DataPlaneLimits, Prediction, SearchRequest, Written
from service.engine.engine import Submit
from service.errors import InvalidInput, RecurError
from service.registry.served_model import ServedModel
from service.telemetry.metrics import Metrics

_MAX_ROWS = 128
"""Of one request in the engine at once: each step of so many holds the event loop for a
millisecond or two."""
_MAX_LENGTH_PENALTY = 10.0


class Wish(msgspec.Struct, frozen=True):
    """What is wanted of each source."""

    search: Search
    room: RawRoom
    """For what is told of every token of the text."""
    raw: bool = False
    """The decoder's outputs at every token of the text."""
    attention: str | None = None
    """The output that tells where it looked, where that is to be told."""

    @property
    def asks_more(self) -> bool:
        """Than what the search itself knows."""
        return self.raw or self.attention is not None


def search_of(translator: Translator, request: SearchRequest, limits: DataPlaneLimits) -> Search:
    """Raises InvalidInput that names the field and its limit."""
    output, defaults = translator.output, translator.output.search
    width = pick(request.beam_width, min(defaults.beam_width, limits.max_beam_width))
    check("beam_width", width, 1, limits.max_beam_width, setting="RECUR_MAX_BEAM_WIDTH")
    penalty = pick(request.length_penalty, defaults.length_penalty)
    check("length_penalty", penalty, 0.0, _MAX_LENGTH_PENALTY)
    max_tokens = pick_max_tokens(request.max_tokens, defaults.max_tokens, limits)
    params = BeamParams(
        output.end_token, width=width, length_penalty=penalty, max_tokens=max_tokens
    )
    return Search(params, output.start_token, output.logits)


def refuse_search(model: ServedModel, request: SearchRequest) -> None:
    """Of a model that searches for nothing. Raises InvalidInput that names the field."""
    for name, value in asdict(request).items():
        if value is not None:
            raise InvalidInput(
                f"{model.manifest.name} writes no text for another: it searches for none",
                param=name,
            )


async def translate(
    translator: Translator,
    wish: Wish,
    sources: Sequence[NDArray[np.int64]],
    *,
    call: Call,
    metrics: Metrics,
) -> list[Prediction | RecurError]:
    """The best text for each source, token ids `[source_time]`; one that fails, fails alone.

    Raises TooLarge where as much as is to be told of the texts has no room, were they as long as
    they may be.
    """
    for source in sources:
        _take_room(translator, wish, source)
    # Those of like lengths look at hardly any padding.
    order = sorted(range(len(sources)), key=lambda place: len(sources[place]))
    size = max(1, _MAX_ROWS // wish.search.params.width)
    results: dict[int, Prediction | RecurError] = {}
    reserved = translator.decoder.reserve(len(sources), deadline=call.deadline, flow=call.flow)
    with reserved as submit:
        for begin in range(0, len(order), size):
            places = order[begin : begin + size]
            some = [sources[place] for place in places]
            try:
                found = await find(translator, some, wish.search, call=call, submit=submit)
                told = await _tell(translator, found, wish, submit=submit)
            except RecurError as error:  # those that were translated before stay so
                results |= dict.fromkeys(places, error.kept())
                continue
            results |= zip(places, told, strict=True)
            tokens = sum(one.num_tokens(1) for one in found if isinstance(one, Found))
            metrics.tokens.labels(translator.model.manifest.name).inc(tokens)
    return [results[place] for place in range(len(sources))]


def _take_room(translator: Translator, wish: Wish, source: NDArray[np.int64]) -> None:
    if wish.asks_more:
        wish.room.take(
            [
                spec
                for spec in translator.model.manifest.graph.outputs
                if wish.raw or spec.name == wish.attention
            ],
            wish.search.params.max_tokens,
            param="raw" if wish.raw else "explain",
            source_steps=len(translator.with_end(source)),
        )


async def find(
    translator: Translator,
    sources: Sequence[NDArray[np.int64]],
    search: Search,
    *,
    call: Call,
    submit: Submit,
) -> list[Found | RecurError]:
    """The texts of each source; one that fails, fails alone."""

    async def searched(begun: list[Begun]) -> list[Found | RecurError]:
        ended = await search_all(begun, search, submit)
        return [
            texts if isinstance(texts, RecurError) else Found(one, texts)
            for one, texts in zip(begun, ended, strict=True)
        ]

    return await of_those_left(await read_sources(translator, sources, call), searched)


async def _tell(
    translator: Translator, found: list[Found | RecurError], wish: Wish, *, submit: Submit
) -> list[Prediction | RecurError]:
    """The best of each, with what else is wanted of it."""

    async def plain(texts: list[Found]) -> list[Prediction | RecurError]:
        return [_prediction(translator, text, wish, {}) for text in texts]

    async def with_outputs(texts: list[Found]) -> list[Prediction | RecurError]:
        outputs = await read_again(translator, texts, submit)
        return [
            given if isinstance(given, RecurError) else _prediction(translator, text, wish, given)
            for text, given in zip(texts, outputs, strict=True)
        ]

    return await of_those_left(found, with_outputs if wish.asks_more else plain)


def _prediction(
    translator: Translator, found: Found, wish: Wish, outputs: dict[str, NDArray[np.float32]]
) -> Prediction:
    text = translator.target_text.decode(found.best.hypothesis.tokens)
    alignment = None
    if wish.attention is not None:
        alignment = alignment_of(translator, found, outputs[wish.attention])
    written = Written(text, found.best.score, alignment)
    return Prediction(written, len(found.begun.source), outputs if wish.raw else None)

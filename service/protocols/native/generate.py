"""Text from a prompt, or from where a session stands: whole, or piece by piece."""

from collections.abc import AsyncIterator

from service.dataplane.types import GenerationDone, GenerationEvent
from service.errors import ModelFailed
from service.protocols import sse
from service.protocols.body import BodyDecoder, Form
from service.protocols.exchange import Exchange
from service.protocols.native import render
from service.protocols.native.codec import read_generate
from service.protocols.native.replayed import REPLAYED_HEADERS, replayed
from service.protocols.native.schemas import (
    EventStream,
    GenerateBody,
    GenerateReply,
    SessionGenerateBody,
)
from service.protocols.operation import Front, Operation
from service.protocols.presence import close
from service.protocols.reply import Answer, json_reply

_FORM = Form(BodyDecoder(GenerateBody, empty=b"{}"), read_generate)
_SESSION_FORM = Form(BodyDecoder(SessionGenerateBody, empty=b"{}"), read_generate)


async def generate(front: Front, exchange: Exchange) -> Answer:
    ask = await front.ask(exchange, _FORM)
    call = front.call(exchange, deadline_ms=ask.deadline_ms)
    events = front.plane.generate(exchange.params["model"], ask.request, call=call)
    return await _answer(front, exchange, events, stream=ask.request.stream)


async def session_generate(front: Front, exchange: Exchange) -> Answer:
    ask = await front.ask(exchange, _SESSION_FORM)
    call = front.call(exchange, deadline_ms=ask.deadline_ms)
    events = front.plane.session_generate(
        exchange.params["session_id"], ask.request, call=call, step=ask.step
    )
    return await _answer(front, exchange, events, stream=ask.request.stream)


async def _answer(
    front: Front, exchange: Exchange, events: AsyncIterator[list[GenerationEvent]], *, stream: bool
) -> Answer:
    def to_frame(event: GenerationEvent) -> bytes:
        if isinstance(event, GenerationDone):
            exchange.model = event.model
        return render.generation_frame(event)

    if stream:
        ping_seconds = front.config.ping_seconds
        return sse.EventStream(events, to_frame, presence=front.presence, ping_seconds=ping_seconds)
    done = await front.finish(exchange, _end(events))
    exchange.model = done.model
    return json_reply(render.generation(done), headers=replayed(done.replayed))


async def _end(events: AsyncIterator[list[GenerationEvent]]) -> GenerationDone:
    """The last event, which tells the whole."""
    try:
        async for together in events:
            last = together[-1]
            if isinstance(last, GenerationDone):
                return last
    finally:
        await close(events)
    raise ModelFailed("the generation stopped without an end")


_REPLIES = {"application/json": GenerateReply, "text/event-stream": EventStream}

OPERATIONS = (
    Operation(
        name="generate",
        method="POST",
        path="/v1/models/{model}/generate",
        endpoint=generate,
        summary="Generate text; with `stream` as server-sent events",
        description=(
            "A seq2seq model writes the text that the prompt becomes: the best `n` that a search "
            "finds; or token by token, where a field about single tokens is given (`stream`, "
            "`temperature`, `top_k`, `top_p`, `repetition_penalty`, `stop`, `logprobs`)."
        ),
        replies=_REPLIES,
        failures=(400, 401, 404, 413, 415, 422, 429, 499, 500, 503, 504),
        body=_FORM,
        begins_work=True,
    ),
    Operation(
        name="session_generate",
        method="POST",
        path="/v1/sessions/{session_id}/generate",
        endpoint=session_generate,
        summary="Generate text from where a session stands",
        replies=_REPLIES,
        failures=(400, 401, 404, 409, 410, 413, 415, 422, 429, 499, 500, 503, 504),
        headers=REPLAYED_HEADERS,
        body=_SESSION_FORM,
        begins_work=True,
    ),
)

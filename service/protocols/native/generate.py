"""Text from a prompt, or from where a session stands: whole, or piece by piece."""

from collections.abc import AsyncIterator

from starlette.requests import Request
from starlette.responses import Response

from service.dataplane.types import GenerationDone, GenerationEvent
from service.errors import ModelFailed
from service.protocols.body import BodyDecoder
from service.protocols.exchange import exchange_of
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
from service.protocols.presence import close, while_connected
from service.protocols.reply import json_reply
from service.protocols.sse import event_stream

_BODY = BodyDecoder(GenerateBody, empty=b"{}")
_SESSION_BODY = BodyDecoder(SessionGenerateBody, empty=b"{}")


async def generate(front: Front, request: Request) -> Response:
    body = await front.read(request, _BODY)
    call = front.call(request, deadline_ms=body.deadline_ms)
    events = front.plane.generate(request.path_params["model"], read_generate(body), call=call)
    return await _answer(front, request, body, events=events)


async def session_generate(front: Front, request: Request) -> Response:
    body = await front.read(request, _SESSION_BODY)
    call = front.call(request, deadline_ms=body.deadline_ms)
    events = front.plane.session_generate(
        request.path_params["session_id"], read_generate(body), call=call, step=body.step
    )
    return await _answer(front, request, body, events=events)


async def _answer(
    front: Front, request: Request, body: GenerateBody, *, events: AsyncIterator[GenerationEvent]
) -> Response:
    exchange = exchange_of(request.scope)

    def to_frame(event: GenerationEvent) -> bytes:
        if isinstance(event, GenerationDone):
            exchange.model = event.model
        return render.generation_frame(event)

    if body.stream:
        ping_seconds = front.config.ping_seconds
        return await event_stream(request.receive, events, to_frame, ping_seconds=ping_seconds)
    done = await while_connected(request.receive, _end(events))
    exchange.model = done.model
    return json_reply(render.generation(done), headers=replayed(done.replayed))


async def _end(events: AsyncIterator[GenerationEvent]) -> GenerationDone:
    """The last event, which tells the whole."""
    try:
        async for event in events:
            if isinstance(event, GenerationDone):
                return event
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
        replies=_REPLIES,
        failures=(400, 401, 404, 413, 415, 422, 429, 499, 500, 503, 504),
        body=_BODY,
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
        body=_SESSION_BODY,
        begins_work=True,
    ),
)

"""Sessions: open, look, copy, end."""

from service.dataplane.types import SessionInfo
from service.protocols.body import BodyDecoder, Form
from service.protocols.exchange import Exchange
from service.protocols.native import render
from service.protocols.native.codec import read_fork, read_open
from service.protocols.native.schemas import (
    ForkBody,
    OpenBody,
    SessionList,
    SessionReply,
)
from service.protocols.operation import Front, Operation
from service.protocols.reply import Reply, json_reply

_OPEN_FORM = Form(BodyDecoder(OpenBody, empty=b"{}"), read_open)
_FORK_FORM = Form(BodyDecoder(ForkBody, empty=b"{}"), read_fork)


async def open_session(front: Front, exchange: Exchange) -> Reply:
    request = await front.ask(exchange, _OPEN_FORM)
    call = front.call(exchange)
    info = await front.plane.open_session(exchange.params["model"], request, call=call)
    return _created(exchange, info)


async def fork_session(front: Front, exchange: Exchange) -> Reply:
    new_id = await front.ask(exchange, _FORK_FORM)
    call = front.call(exchange)
    session_id = exchange.params["session_id"]
    return _created(exchange, await front.plane.fork_session(session_id, call=call, new_id=new_id))


async def list_sessions(front: Front, exchange: Exchange) -> Reply:
    infos = await front.plane.sessions(call=front.call(exchange))
    return json_reply({"object": "list", "data": [render.session(info) for info in infos]})


async def get_session(front: Front, exchange: Exchange) -> Reply:
    call = front.call(exchange)
    return _info(exchange, await front.plane.session(exchange.params["session_id"], call=call))


async def end_session(front: Front, exchange: Exchange) -> Reply:
    call = front.call(exchange)
    return _info(exchange, await front.plane.end_session(exchange.params["session_id"], call=call))


def _created(exchange: Exchange, info: SessionInfo) -> Reply:
    exchange.model = info.model
    headers = ((b"location", f"/v1/sessions/{info.session_id}".encode()),)
    return json_reply(render.session(info), status=201, headers=headers)


def _info(exchange: Exchange, info: SessionInfo) -> Reply:
    exchange.model = info.model
    return json_reply(render.session(info))


_SESSION_REPLY = {"application/json": SessionReply}
_LOCATION = {"Location": "The session's path"}

OPERATIONS = (
    Operation(
        name="open_session",
        method="POST",
        path="/v1/models/{model}/sessions",
        endpoint=open_session,
        summary="Open a session: a state that the server keeps between requests",
        replies=_SESSION_REPLY,
        status=201,
        failures=(400, 401, 404, 409, 410, 413, 415, 422, 429, 499, 500, 503),
        headers=_LOCATION,
        body=_OPEN_FORM,
        begins_work=True,
    ),
    Operation(
        name="fork_session",
        method="POST",
        path="/v1/sessions/{session_id}/fork",
        endpoint=fork_session,
        summary="Copy a session, to go on in two ways",
        replies=_SESSION_REPLY,
        status=201,
        failures=(400, 401, 404, 409, 410, 413, 415, 422, 429, 499, 500, 503),
        headers=_LOCATION,
        body=_FORK_FORM,
        begins_work=True,
    ),
    Operation(
        name="list_sessions",
        method="GET",
        path="/v1/sessions",
        endpoint=list_sessions,
        summary="List the caller's live sessions, oldest first",
        replies={"application/json": SessionList},
        failures=(400, 401, 422, 500),
    ),
    Operation(
        name="get_session",
        method="GET",
        path="/v1/sessions/{session_id}",
        endpoint=get_session,
        summary="Where a session stands",
        replies=_SESSION_REPLY,
        failures=(400, 401, 404, 410, 422, 500),
    ),
    Operation(
        name="end_session",
        method="DELETE",
        path="/v1/sessions/{session_id}",
        endpoint=end_session,
        summary="End a session; the answer is its last state",
        replies=_SESSION_REPLY,
        failures=(400, 401, 404, 410, 422, 500),
    ),
)

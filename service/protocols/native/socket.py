"""A session over a WebSocket: one frame a chunk, answered in order by one frame.

A text frame is the JSON of a step's body, a binary one its tensors; each is answered in kind. A
chunk that fails leaves the socket open and the session where it was. The next frame is read when
the last one is answered: until then frames wait in the connection, and then in the client.
"""

import time
from collections.abc import Mapping
from typing import Any

import structlog
from starlette.types import Message, Receive, Scope, Send

from service.dataplane.types import Call
from service.errors import Draining, Gone, RecurError, SessionNotFound
from service.protocols.native import binary, render
from service.protocols.native.steps import STEP_FORM
from service.protocols.operation import Front
from service.protocols.reply import error_reply, to_json
from service.protocols.status import InternalError, RouteNotFound, error_body
from service.protocols.tensors import dump

SESSION_GONE = 4410
"""The close code where the session ended while the socket was open; the last frame says how."""
GOING_AWAY = 1001
"""The service drains (RFC 6455, 7.4.1)."""

_PROTOCOL = "native"
_START, _END = "/v1/sessions/", "/stream"

_log = structlog.get_logger(__name__)


async def stream_session(front: Front, scope: Scope, receive: Receive, send: Send) -> None:
    """Serve one socket. A handshake that must not succeed gets an HTTP answer in its place."""
    await receive()  # websocket.connect
    try:
        socket = await _open(front, scope)
    except RecurError as error:
        await _refuse(scope, send, error)
        return
    await send({"type": "websocket.accept"})
    while (message := await receive())["type"] == "websocket.receive":
        close = await socket.answer(message, send)
        if close is not None:
            await send({"type": "websocket.close", "code": close})
            return


async def _open(front: Front, scope: Scope) -> "_Socket":
    """Raises what a request for the session would be answered."""
    path: str = scope["path"]
    if not (path.startswith(_START) and path.endswith(_END)):
        raise RouteNotFound(f"there is no socket at {path}")
    headers: Mapping[bytes, bytes] = dict(scope["headers"])
    tenant = front.auth.tenant(headers)
    front.health.admit()
    session_id = path[len(_START) : -len(_END)]
    info = await front.plane.session(session_id, call=Call(tenant, _PROTOCOL))
    return _Socket(front, session_id, tenant=tenant, model=info.model)


async def _refuse(scope: Scope, send: Send, error: RecurError) -> None:
    if "websocket.http.response" not in scope.get("extensions", {}):
        await send({"type": "websocket.close", "code": 1008})
        return
    reply = error_reply(error)
    head = {"type": "websocket.http.response.start", "status": reply.status}
    await send(head | {"headers": list(reply.headers)})
    await send({"type": "websocket.http.response.body", "body": reply.body})


class _Socket:
    def __init__(self, front: Front, session_id: str, *, tenant: str, model: str) -> None:
        self._front = front
        self._session_id = session_id
        self._tenant = tenant
        self._model = model

    async def answer(self, message: Message, send: Send) -> int | None:
        """Answer one frame. The code to close with, where that was the last one."""
        began = time.monotonic()
        outcome, close = "ok", None
        try:
            await send(await self._step(message, began))
        except RecurError as error:
            outcome, close = error.code, _close_code(error)
            await send(_text(error_body(error.kept())))
        except Exception:  # noqa: BLE001 - the edge of the process: the client must hear of it
            _log.exception("frame failed", session_id=self._session_id)
            outcome = InternalError.code
            await send(_text(error_body(InternalError("the server failed; its log says how"))))
        seconds = time.monotonic() - began
        self._front.telemetry.observe(_PROTOCOL, self._model, outcome, seconds)
        return close

    async def _step(self, message: Message, began: float) -> Message:
        self._front.health.admit()
        data: bytes | None = message.get("bytes")
        if data is not None:
            ask = await STEP_FORM.read_tensors(data)
        else:
            ask = await STEP_FORM.read_json(message["text"].encode())
        seconds = self._front.config.default_deadline_seconds
        if ask.deadline_ms is not None:
            seconds = ask.deadline_ms / 1000
        deadline = None if seconds is None else began + seconds
        call = Call(self._tenant, _PROTOCOL, deadline)
        feed = await self._front.plane.feed(
            self._session_id, ask.inputs, call=call, step=ask.step, raw=ask.raw
        )
        if data is not None:
            return {"type": "websocket.send", "bytes": dump(binary.feed(feed))}
        reply = render.step_reply(feed.reply)
        return _text(reply | {"replayed": True} if feed.replayed else reply)


def _close_code(error: RecurError) -> int | None:
    match error:
        case Gone() | SessionNotFound():
            return SESSION_GONE
        case Draining():
            return GOING_AWAY
        case _:
            return None


def _text(content: dict[str, Any]) -> Message:
    return {"type": "websocket.send", "text": to_json(content).decode()}

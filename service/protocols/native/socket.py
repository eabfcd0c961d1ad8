"""A session over a WebSocket: one frame a chunk, answered in order by one frame.

A text frame is the JSON of a step's body, a binary one its tensors; each is answered in kind. A
chunk that fails leaves the socket open and the session where it was. A client that leaves takes
the frame under way with it, as one of HTTP does its request.
"""

import asyncio
import time
from collections.abc import Coroutine, Mapping
from contextlib import suppress
from typing import Any

import msgspec
import structlog
from starlette.types import Message, Receive, Scope, Send

from service.dataplane.types import Call
from service.errors import Cancelled, Draining, Gone, RecurError, SessionNotFound
from service.protocols.exchange import Exchange
from service.protocols.native import binary, render
from service.protocols.native.answers import ToJson, written
from service.protocols.native.steps import STEP_FORM
from service.protocols.native.window import Frame, Window
from service.protocols.operation import Front, Operation, deadline_of, priority_of
from service.protocols.reply import Answer, error_reply, to_json
from service.protocols.request_id import REQUEST_ID_KEY, request_id_of
from service.protocols.status import InternalError, RouteNotFound, UpgradeRequired, error_body
from service.protocols.tensors import dump
from service.telemetry.logging import bind_request

SESSION_GONE = 4410
"""The close code where the session ended while the socket was open; the last frame says how."""
GOING_AWAY = 1001
"""The service drains (RFC 6455, 7.4.1)."""

_PROTOCOL = "native"
_START, _END = "/v1/sessions/", "/stream"

_ClientLeft = OSError
"""What sending to a client that is gone raises (ASGI, WebSocket 2.4)."""

_log = structlog.get_logger(__name__)


async def stream_session(front: Front, scope: Scope, receive: Receive, send: Send) -> None:
    """Serve one socket. A handshake that must not succeed gets an HTTP answer in its place."""
    await receive()  # websocket.connect
    handshake = _Handshake(scope)
    bind_request(handshake)
    with suppress(_ClientLeft):
        try:
            socket = await _open(front, handshake)
        except RecurError as error:
            await _refuse(handshake, send, error)
            return
        except Exception:  # noqa: BLE001 - the edge of the process: the client must hear of it
            _log.exception("handshake failed")
            await _refuse(handshake, send, InternalError.of_request(handshake.request_id))
            return
        await send({"type": "websocket.accept", "headers": [handshake.id_header]})
        config = front.config
        window = Window(receive, max_frames=config.stream_window, max_bytes=config.max_body_bytes)
        await _until_one_ends(window.read(), socket.answer_all(window, send))


class _Handshake:
    """What the client said of the whole conversation: the log's lines are bound to it."""

    def __init__(self, scope: Scope) -> None:
        self.path: str = scope["path"]
        self.headers: Mapping[bytes, bytes] = dict(scope["headers"])
        self.request_id = request_id_of(self.headers)
        self.tenant: str | None = None
        self.takes_answers: bool = "websocket.http.response" in scope.get("extensions", {})

    @property
    def id_header(self) -> tuple[bytes, bytes]:
        return REQUEST_ID_KEY, self.request_id.encode()


async def _open(front: Front, handshake: _Handshake) -> "_Socket":
    """Raises what a request for the session would be answered."""
    path, headers = handshake.path, handshake.headers
    if not (path.startswith(_START) and path.endswith(_END)):
        raise RouteNotFound(f"there is no socket at {path}")
    tenant = handshake.tenant = front.auth.tenant(headers)
    front.health.admit()
    call = Call(tenant, _PROTOCOL, priority=priority_of(headers))
    deadline_ms = deadline_of(headers)
    session_id = path[len(_START) : -len(_END)]
    info = await front.plane.session(session_id, call=call)
    return _Socket(
        front,
        session_id,
        call=call,
        deadline_ms=deadline_ms,
        model=info.model,
        request_id=handshake.request_id,
    )


async def _refuse(handshake: _Handshake, send: Send, error: RecurError) -> None:
    if not handshake.takes_answers:
        await send({"type": "websocket.close", "code": 1008})
        return
    reply = error_reply(error)
    head = {"type": "websocket.http.response.start", "status": reply.status}
    await send(head | {"headers": [*reply.headers, handshake.id_header]})
    await send({"type": "websocket.http.response.body", "body": reply.body})


async def _until_one_ends(*works: Coroutine[Any, Any, None]) -> None:
    """The first end is that of all. Raises what one of them raised."""
    tasks = [asyncio.create_task(work) for work in works]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        ends = await asyncio.gather(*tasks, return_exceptions=True)
    for end in ends:
        if isinstance(end, Exception):  # and not that it was cancelled, which is none
            raise end


class _Answered(msgspec.Struct, frozen=True):
    """What a frame comes to. `close` is the code to close with, where that was the last one."""

    message: Message
    outcome: str = "ok"
    close: int | None = None


class _Socket:
    """`call` has no deadline: each frame has its own, by its body or by `deadline_ms`."""

    def __init__(
        self,
        front: Front,
        session_id: str,
        *,
        call: Call,
        deadline_ms: float | None,
        model: str,
        request_id: str,
    ) -> None:
        self._front = front
        self._session_id = session_id
        self._call = call
        self._deadline_ms = deadline_ms
        self._model = model
        self._request_id = request_id

    async def answer_all(self, window: Window, send: Send) -> None:
        """One after the other, to one that closes the socket, or until the client is gone."""
        close = None
        with suppress(_ClientLeft):
            while close is None:
                close = await self._answer(await window.take(), send)
            await send({"type": "websocket.close", "code": close})

    async def _answer(self, frame: Frame, send: Send) -> int | None:
        """The code to close with, where this was the last one."""
        outcome = Cancelled.code
        try:
            answered = await self._answered(frame)
            outcome = answered.outcome
            await send(answered.message)
        finally:
            seconds = time.monotonic() - frame.arrived
            self._front.telemetry.observe(_PROTOCOL, self._model, outcome, seconds)
        return answered.close

    async def _answered(self, frame: Frame) -> _Answered:
        try:
            return _Answered(await self._step(frame))
        except RecurError as error:
            return _Answered(_error(error.kept()), error.code, _close_code(error))
        except Exception:  # noqa: BLE001 - the edge of the process: the client must hear of it
            _log.exception("frame failed", session_id=self._session_id)
            error = InternalError.of_request(self._request_id)
            return _Answered(_error(error), error.code)

    async def _step(self, frame: Frame) -> Message:
        front = self._front
        front.health.admit()
        read = STEP_FORM.read_json if frame.is_text else STEP_FORM.read_tensors
        ask = await read(frame.data, max_sequences=front.config.max_sequences)
        call = Call(
            self._call.tenant,
            _PROTOCOL,
            front.deadline(frame.arrived, ask.deadline_ms or self._deadline_ms),
            self._call.priority,
        )
        feed = await front.plane.feed(
            self._session_id, ask.inputs, call=call, step=ask.step, raw=ask.raw
        )

        def write(to_json: ToJson) -> Message:
            if not frame.is_text:
                return {"type": "websocket.send", "bytes": dump(binary.feed(feed))}
            reply = render.step_reply(feed.reply)
            return _text(to_json(reply | {"replayed": True} if feed.replayed else reply))

        return await written((feed,), write)


def _close_code(error: RecurError) -> int | None:
    match error:
        case Gone() | SessionNotFound():
            return SESSION_GONE
        case Draining():
            return GOING_AWAY
        case _:
            return None


def _error(error: RecurError) -> Message:
    return _text(to_json(error_body(error)))


def _text(json: bytes) -> Message:
    return {"type": "websocket.send", "text": json.decode()}


async def _ask_for_upgrade(_front: Front, _exchange: Exchange) -> Answer:
    raise UpgradeRequired("a WebSocket is spoken here: ask for one with 'Upgrade: websocket'")


OPERATIONS = (
    Operation(
        name="stream_session",
        method="GET",
        path="/v1/sessions/{session_id}/stream",
        endpoint=_ask_for_upgrade,
        summary="Advance a session over a WebSocket, one frame a chunk",
        description=(
            "Each frame is the body of a step of the session, as text in JSON (`StepBody`) or "
            "binary in tensors, and is answered in kind (`StepReply`; `replayed: true` where the "
            "step was answered before), in order. A frame that fails is answered by an error "
            "(`ErrorReply`), always as text; the socket stays open and the session where it was. "
            f"Close codes: {SESSION_GONE}, the session is gone, and the last frame says how; "
            f"{GOING_AWAY}, the service drains; 1009, a frame over `RECUR_MAX_BODY_BYTES`. While "
            "a frame is answered, `RECUR_STREAM_WINDOW` more are read. Closing the socket cancels "
            "what was not answered. The headers count for every frame; one with a `deadline_ms` "
            "of its own goes by that."
        ),
        replies={},
        status=101,
        failures=(400, 401, 404, 410, 422, 426, 500, 503),
        begins_work=True,
    ),
)

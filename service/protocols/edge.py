"""The outermost layer: gives each request its id, sends it where it is answered, and leaves its
line in the log and the metrics.

Plain ASGI, because a layer that wraps the body's stream would stand between a request and its
client's leaving.
"""

import asyncio
import itertools
import re
import secrets
import time
from collections.abc import Iterable

import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.errors import Cancelled
from service.protocols.answering import answer
from service.protocols.exchange import Exchange, begin_exchange
from service.protocols.native.socket import stream_session
from service.protocols.operation import Front, Operation
from service.protocols.reply import error_reply
from service.protocols.status import InternalError
from service.protocols.switch import Switch
from service.telemetry.logging import bind_request

REQUEST_ID_HEADER = "X-Request-Id"

_ID_HEADER = REQUEST_ID_HEADER.lower().encode()
_SANE_ID = re.compile(rb"[\x20-\x7e]{1,128}")
_UNKNOWN_MODEL = "unknown"

_RUN = secrets.token_hex(8)
_numbers = itertools.count(1)
"""Random ids would cost a system call each, and with it the interpreter's lock: a sixth of the
time of a small request, when an engine's thread is busy."""

_log = structlog.get_logger(__name__)


class Edge:
    """Answers `operations` itself; everything else goes to `framework`."""

    def __init__(
        self, framework: ASGIApp, *, front: Front, operations: Iterable[Operation]
    ) -> None:
        self._framework = framework
        self._front = front
        self._switch = Switch(operations)
        self._record = Record(front)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await stream_session(self._front, scope, receive, send)
            return
        if scope["type"] != "http":
            await self._framework(scope, receive, send)
            return
        exchange = Exchange(scope, receive, send, arrived=time.monotonic())
        exchange.request_id = _request_id(exchange)
        # Never unbound: a server gives each request a task, and so a context, of its own.
        bind_request(exchange)
        try:
            operation = self._switch.find(exchange)
            if operation is None:
                await self._pass_on(scope, exchange)
            else:
                await answer(self._front, operation, exchange)
        except asyncio.CancelledError:
            exchange.outcome = Cancelled.code
            raise
        except Exception:
            exchange.outcome = InternalError.code
            if exchange.status is not None:
                raise  # the server then breaks the connection: the client must not take it as whole
            _log.exception("request failed")
            error = InternalError(
                "the server failed; its log has the details under this request's id",
                details={"request_id": exchange.request_id},
            )
            await error_reply(error).write(exchange)
        finally:
            self._record(exchange)

    async def _pass_on(self, scope: Scope, exchange: Exchange) -> None:
        async def send_with_id(message: Message) -> None:
            if message["type"] == "http.response.start":
                exchange.status = message["status"]
                header = (_ID_HEADER, exchange.request_id.encode())
                message["headers"] = [*message.get("headers", ()), header]
            await exchange.send(message)

        begin_exchange(scope, exchange)
        await self._framework(scope, exchange.receive, send_with_id)


class Record:
    """Counts each exchange at its end, and writes its line if the configuration wants lines."""

    def __init__(self, front: Front) -> None:
        self._observe = front.telemetry.observe
        self._access_log = front.config.access_log

    def __call__(self, exchange: Exchange) -> None:
        seconds = time.monotonic() - exchange.arrived
        model = exchange.model or _UNKNOWN_MODEL
        if exchange.protocol is not None:
            self._observe(exchange.protocol, model, exchange.outcome, seconds)
        if self._access_log:
            _log.info(
                "request answered",
                method=exchange.method,
                path=exchange.route,
                status=exchange.status,
                seconds=round(seconds, 6),
                model=exchange.model,
                outcome=exchange.outcome,
            )


def _request_id(exchange: Exchange) -> str:
    """The client's own, where it is something that a log and a header can hold."""
    sent = exchange.headers.get(_ID_HEADER)
    if sent is not None and _SANE_ID.fullmatch(sent):
        return sent.decode("ascii")
    return f"{_RUN}-{next(_numbers):x}"

"""The outermost layer: gives each request its id, and leaves its line in the log and the metrics.

Plain ASGI, because a layer that wraps the body's stream would stand between a request and its
client's leaving.
"""

import asyncio
import itertools
import re
import secrets
import time

import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.errors import Cancelled
from service.protocols.exchange import Exchange, begin_exchange, exchange_of
from service.protocols.reply import error_reply
from service.protocols.status import InternalError
from service.telemetry.metrics import Metrics

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
    """`access_log` is whether each request leaves a line."""

    def __init__(self, app: ASGIApp, *, metrics: Metrics, access_log: bool) -> None:
        self._app = app
        self._metrics = metrics
        self._access_log = access_log

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        exchange = Exchange(
            request_id=_request_id(scope),
            arrived=time.monotonic(),
            protocol=_protocol(scope["path"]),
        )
        begin_exchange(scope, exchange)
        id_header = (_ID_HEADER, exchange.request_id.encode())

        async def send_with_id(message: Message) -> None:
            if message["type"] == "http.response.start":
                exchange.status = message["status"]
                message["headers"] = [*message.get("headers", ()), id_header]
            await send(message)

        # Never unbound: a server gives each request a task, and so a context, of its own.
        structlog.contextvars.bind_contextvars(request_id=exchange.request_id, tenant=None)
        try:
            await self._answer(scope, receive, send_with_id)
        finally:
            self._record(scope, exchange)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        exchange = exchange_of(scope)
        try:
            await self._app(scope, receive, send)
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
            await error_reply(error)(scope, receive, send)

    def _record(self, scope: Scope, exchange: Exchange) -> None:
        seconds = time.monotonic() - exchange.arrived
        model = exchange.model or _UNKNOWN_MODEL
        if exchange.protocol is not None:
            self._metrics.requests.labels(exchange.protocol, model, exchange.outcome).inc()
            self._metrics.request_seconds.labels(exchange.protocol, model).observe(seconds)
        if self._access_log:
            _log.info(
                "request answered",
                method=scope["method"],
                path=exchange.route,
                status=exchange.status,
                seconds=round(seconds, 6),
                tenant=exchange.tenant,
                model=exchange.model,
                outcome=exchange.outcome,
            )


def _request_id(scope: Scope) -> str:
    """The client's own, where it is something that a log and a header can hold."""
    for name, value in scope["headers"]:
        if name == _ID_HEADER and _SANE_ID.fullmatch(value):
            return value.decode("ascii")
    return f"{_RUN}-{next(_numbers):x}"


def _protocol(path: str) -> str | None:
    """The protocol that a path belongs to; probes and documents belong to none."""
    return "native" if path.startswith("/v1/") else None

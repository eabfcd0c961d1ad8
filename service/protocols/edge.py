"""The outermost layer: gives each request its id, sends it where it is answered, and leaves its
line in the log and the metrics.

Plain ASGI, because a layer that wraps the body's stream would stand between a request and its
client's leaving.
"""

import asyncio
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
from service.protocols.request_id import REQUEST_ID_KEY, request_id_of
from service.protocols.status import InternalError
from service.protocols.switch import Switch
from service.telemetry.logging import bind_request

_UNKNOWN_MODEL = "unknown"

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
        exchange.request_id = request_id_of(exchange.headers)
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
            error = InternalError.of_request(exchange.request_id)
            await error_reply(error).write(exchange)
        finally:
            self._record(exchange)

    async def _pass_on(self, scope: Scope, exchange: Exchange) -> None:
        async def send_with_id(message: Message) -> None:
            if message["type"] == "http.response.start":
                exchange.status = message["status"]
                header = (REQUEST_ID_KEY, exchange.request_id.encode())
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

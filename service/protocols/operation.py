"""One value for each operation: its route and its page in the OpenAPI document come from it."""

import math
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

import msgspec
import structlog
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from service.dataplane.plane import DataPlane
from service.dataplane.types import Call
from service.errors import InvalidInput, MalformedRequest, RecurError
from service.protocols.auth import Authenticator
from service.protocols.body import BodyDecoder, read
from service.protocols.exchange import exchange_of
from service.protocols.health import Health
from service.protocols.sse import PING_SECONDS
from service.telemetry.metrics import Metrics

S = TypeVar("S", bound=msgspec.Struct)

DEADLINE_HEADER = "Recur-Deadline-Ms"


@dataclass(frozen=True, slots=True)
class HttpConfig:
    """What the HTTP layer itself decides; everything about models is the data plane's."""

    max_body_bytes: int = 16 * 2**20
    default_deadline_seconds: float | None = None
    """Of a request that names none; None is no deadline."""
    ping_seconds: float = PING_SECONDS
    """Silence after which an event stream sends a comment."""
    access_log: bool = False
    """Whether each request leaves a line in the log."""


@dataclass(frozen=True, slots=True)
class Front:
    """What every operation has at hand."""

    plane: DataPlane
    auth: Authenticator
    health: Health
    metrics: Metrics
    config: HttpConfig

    async def read(self, request: Request, decoder: BodyDecoder[S]) -> S:
        return await read(request, decoder, max_bytes=self.config.max_body_bytes)

    def call(self, request: Request, *, deadline_ms: float | None = None) -> Call:
        """Who asks, and until when: by the body, else by the header, else by the configuration."""
        exchange = exchange_of(request.scope)
        assert exchange.tenant is not None
        assert exchange.protocol is not None
        seconds = self.config.default_deadline_seconds
        milliseconds = deadline_ms or _header_deadline(request)
        if milliseconds is not None:
            seconds = milliseconds / 1000
        deadline = None if seconds is None else exchange.arrived + seconds
        return Call(tenant=exchange.tenant, protocol=exchange.protocol, deadline=deadline)


Endpoint = Callable[[Front, Request], Awaitable[Response]]


@dataclass(frozen=True, slots=True)
class Operation:
    """`failures` are the statuses that it may answer beside `status`."""

    name: str
    method: str
    path: str
    endpoint: Endpoint
    summary: str
    replies: Mapping[str, Any]
    """By media type, the type of the body: a msgspec Struct, or str."""
    failures: tuple[int, ...]
    status: int = 200
    body: BodyDecoder[Any] | None = None
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    """Headers of the reply worth knowing, with what they say."""
    needs_key: bool = True
    begins_work: bool = False
    """Refused while the service starts or drains."""


def routes(front: Front, operations: Iterable[Operation]) -> list[Route]:
    """One route for each path, so that a 405 can name all of the path's methods."""
    paths: dict[str, dict[str, Operation]] = {}
    for operation in operations:
        paths.setdefault(operation.path, {})[operation.method] = operation
    return [
        Route(path, _Endpoint(front, methods), methods=_with_head(methods), name=path)
        for path, methods in paths.items()
    ]


class _Endpoint:
    """The operations of one path, as an ASGI application: a function would be wrapped in layers."""

    def __init__(self, front: Front, methods: Mapping[str, Operation]) -> None:
        self._front = front
        self._methods = {"HEAD": methods["GET"], **methods} if "GET" in methods else methods

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive, send)
        operation = self._methods[request.method]
        response = await self._answer(operation, request)
        await response(scope, receive, send)

    async def _answer(self, operation: Operation, request: Request) -> Response:
        front = self._front
        exchange = exchange_of(request.scope)
        exchange.route = operation.path
        try:
            if operation.needs_key:
                exchange.tenant = front.auth.tenant(request.headers)
                structlog.contextvars.bind_contextvars(tenant=exchange.tenant)
            if operation.begins_work:
                front.health.admit()
            return await operation.endpoint(front, request)
        finally:
            if exchange.model is None and "model" in request.path_params:
                exchange.model = _known_model(front.plane, request.path_params["model"])


def _with_head(methods: Mapping[str, Operation]) -> list[str]:
    return ["HEAD", *methods] if "GET" in methods else list(methods)


def _known_model(plane: DataPlane, ref: str) -> str | None:
    try:
        return plane.model(ref).manifest.name
    except RecurError:
        return None


def _header_deadline(request: Request) -> float | None:
    sent = request.headers.get(DEADLINE_HEADER)
    if sent is None:
        return None
    try:
        milliseconds = float(sent)
    except ValueError:
        raise MalformedRequest(
            f"{DEADLINE_HEADER}: expected a number", param=DEADLINE_HEADER
        ) from None
    if not 0 < milliseconds < math.inf:
        raise InvalidInput(
            f"{DEADLINE_HEADER}: expected a number > 0",
            param=DEADLINE_HEADER,
            details={"exclusive_min": 0},
        )
    return milliseconds

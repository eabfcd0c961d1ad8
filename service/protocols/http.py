"""The HTTP application: the operations of all protocols, behind one edge, with one way to fail."""

from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.middleware.asyncexitstack import AsyncExitStackMiddleware
from fastapi.openapi.utils import get_openapi
from starlette.exceptions import HTTPException
from starlette.middleware.exceptions import ExceptionMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from service.dataplane.verbs import Verbs
from service.errors import ClientError, MalformedRequest, RecurError
from service.protocols import observe
from service.protocols.answering import routes
from service.protocols.auth import Authenticator
from service.protocols.edge import Edge
from service.protocols.exchange import exchange_of
from service.protocols.health import Health
from service.protocols.native import generate, models, predict, sessions, socket, steps
from service.protocols.openapi import describe
from service.protocols.operation import Front, HttpConfig, Operation, Telemetry
from service.protocols.reply import JSON, Reply, error_reply, json_reply
from service.protocols.status import (
    InternalError,
    MethodNotAllowed,
    RouteNotFound,
    error_body,
    error_headers,
)

Lifespan = Callable[[FastAPI], AbstractAsyncContextManager[Any]]

OPERATIONS: tuple[Operation, ...] = (
    *predict.OPERATIONS,  # the hottest first: they are looked through in this order
    *steps.OPERATIONS,
    *socket.OPERATIONS,
    *sessions.OPERATIONS,
    *generate.OPERATIONS,
    *models.OPERATIONS,
    *observe.OPERATIONS,
)


def create_http_app(
    plane: Verbs,
    *,
    auth: Authenticator,
    health: Health,
    telemetry: Telemetry,
    config: HttpConfig,
    lifespan: Lifespan | None = None,
) -> FastAPI:
    """Operations are plain endpoints: FastAPI's own cost three times as much as a small model."""
    front = Front(plane=plane, auth=auth, health=health, telemetry=telemetry, config=config)
    app = _Application(
        title="Recur",
        version=_version(),
        description="Recurrent networks, served with their state.",
        front=front,
        exception_handlers={
            RecurError: _on_recur_error,
            HTTPException: _on_http_exception,
            RequestValidationError: _on_validation_error,
        },
        redirect_slashes=False,
        lifespan=lifespan,
    )

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            document = get_openapi(
                title=app.title, version=app.version, description=app.description, routes=app.routes
            )
            app.openapi_schema = describe(document, OPERATIONS)
        return app.openapi_schema

    app.openapi = openapi
    return app


class _Application(FastAPI):
    """FastAPI behind the edge, and without the layers that the edge makes superfluous."""

    def __init__(self, *, front: Front, **settings: Any) -> None:
        super().__init__(routes=list(routes(front, OPERATIONS)), **settings)
        self._edge = Edge(super().__call__, front=front, operations=OPERATIONS)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._edge(scope, receive, send)

    def build_middleware_stack(self) -> ASGIApp:
        inner = AsyncExitStackMiddleware(self.router)  # FastAPI's path operations ask for it
        return ExceptionMiddleware(inner, handlers=self.exception_handlers)


async def _on_recur_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, RecurError)
    exchange_of(request.scope).outcome = error.code
    return _response(error_reply(error), error_headers(error))


async def _on_http_exception(request: Request, error: Exception) -> Response:
    """The framework's own refusals, in our shape."""
    assert isinstance(error, HTTPException)
    recur_error = _translate(request, error)
    exchange_of(request.scope).outcome = recur_error.code
    reply = json_reply(error_body(recur_error), status=error.status_code)
    return _response(reply, error.headers)


async def _on_validation_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    param = ".".join(str(part) for part in first["loc"][1:]) or None
    return await _on_recur_error(request, MalformedRequest(first["msg"], param=param))


def _response(reply: Reply, headers: Mapping[str, str] | None) -> Response:
    return Response(reply.body, reply.status, headers, media_type=JSON)


def _translate(request: Request, error: HTTPException) -> RecurError:
    where = f"{request.method} {request.url.path}"
    if error.status_code == 404:
        return RouteNotFound(f"there is no route {where}")
    if error.status_code == 405:
        allow = (error.headers or {}).get("Allow", "")
        methods = sorted(method.strip() for method in allow.split(","))
        return MethodNotAllowed(
            f"{where}: this path has no such method", details={"allow": methods}
        )
    if error.status_code >= 500:
        return InternalError(error.detail)
    return ClientError(error.detail)


def _version() -> str:
    try:
        return version("recur")
    except PackageNotFoundError:  # run from a checkout that is not installed
        return "0"

"""The HTTP application: the operations of all protocols, behind one edge, with one way to fail."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from functools import partial
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
from starlette.types import ASGIApp

from service.dataplane.plane import DataPlane
from service.errors import ClientError, MalformedRequest, RecurError
from service.protocols import observe
from service.protocols.auth import Authenticator
from service.protocols.body import BodyTooLarge
from service.protocols.edge import Edge
from service.protocols.exchange import exchange_of
from service.protocols.health import Health
from service.protocols.native import generate, models, predict, sessions
from service.protocols.openapi import describe
from service.protocols.operation import Front, HttpConfig, Operation, routes
from service.protocols.reply import LastReply, error_reply, json_reply
from service.protocols.status import (
    InternalError,
    MethodNotAllowed,
    RouteNotFound,
    error_body,
)
from service.telemetry.metrics import Metrics

Lifespan = Callable[[FastAPI], AbstractAsyncContextManager[Any]]

OPERATIONS: tuple[Operation, ...] = (
    *predict.OPERATIONS,  # the hottest first: routes are tried in this order
    *sessions.OPERATIONS,
    *generate.OPERATIONS,
    *models.OPERATIONS,
    *observe.OPERATIONS,
)


def create_http_app(
    plane: DataPlane,
    *,
    auth: Authenticator,
    health: Health,
    metrics: Metrics,
    config: HttpConfig,
    lifespan: Lifespan | None = None,
) -> FastAPI:
    """Operations are plain endpoints: FastAPI's own cost three times as much as a small model."""
    front = Front(plane=plane, auth=auth, health=health, metrics=metrics, config=config)
    app = _Application(
        title="Recur",
        version=_version(),
        description="Recurrent networks, served with their state.",
        routes=list(routes(front, OPERATIONS)),
        edge=partial(Edge, metrics=metrics, access_log=config.access_log),
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
    """FastAPI with the layers that it needs, and without those that the edge makes superfluous:
    they would cost each request more than its routing does.
    """

    def __init__(self, *, edge: Callable[[ASGIApp], Edge], **settings: Any) -> None:
        super().__init__(**settings)
        self._edge = edge

    def build_middleware_stack(self) -> ASGIApp:
        inner = AsyncExitStackMiddleware(self.router)  # FastAPI's path operations ask for it
        return self._edge(ExceptionMiddleware(inner, handlers=self.exception_handlers))


async def _on_recur_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, RecurError)
    exchange_of(request.scope).outcome = error.code
    reply = error_reply(error)
    if isinstance(error, BodyTooLarge) and error.unread:
        return LastReply(reply)
    return reply


async def _on_http_exception(request: Request, error: Exception) -> Response:
    """The framework's own refusals, in our shape."""
    assert isinstance(error, HTTPException)
    recur_error = _translate(request, error)
    exchange_of(request.scope).outcome = recur_error.code
    body = error_body(recur_error)
    return json_reply(body, status=error.status_code, headers=dict(error.headers or {}))


async def _on_validation_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    param = ".".join(str(part) for part in first["loc"][1:]) or None
    return await _on_recur_error(request, MalformedRequest(first["msg"], param=param))


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

"""One operation for one exchange: who asks, may work begin, then the answer or the error."""

from collections.abc import Iterable, Mapping

from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from service.dataplane.types import Call
from service.dataplane.verbs import Verbs
from service.errors import RecurError
from service.protocols.body import BodyTooLarge
from service.protocols.exchange import Exchange, exchange_of
from service.protocols.operation import Front, Operation
from service.protocols.reply import Answer, LastReply, error_reply


async def answer(front: Front, operation: Operation, exchange: Exchange) -> None:
    """Write the operation's answer, or the error in its place."""
    exchange.route = operation.path
    try:
        try:
            if operation.needs_key:
                exchange.tenant = front.auth.tenant(exchange.headers)
            if operation.begins_work:
                front.health.admit()
            reply = await operation.endpoint(front, exchange)
            await reply.write(exchange)
        except RecurError as error:
            exchange.outcome = error.code
            await refusal(error.kept()).write(exchange)
        if exchange.model is None and exchange.tenant is not None:
            exchange.model = await _model_of_session(front.plane, exchange)
    finally:
        if exchange.model is None and "model" in exchange.params:
            exchange.model = _known_model(front.plane, exchange.params["model"])


def refusal(error: RecurError) -> Answer:
    reply = error_reply(error)
    return LastReply(reply) if isinstance(error, BodyTooLarge) and error.unread else reply


def routes(front: Front, operations: Iterable[Operation]) -> list[Route]:
    """One route for each path, so that a 405 can name all of the path's methods.

    The edge's switch comes first and spares a request the framework's way; these are what the
    framework knows of the operations.
    """
    paths: dict[str, dict[str, Operation]] = {}
    for operation in operations:
        paths.setdefault(operation.path, {})[operation.method] = operation
        if operation.method == "GET":
            paths[operation.path]["HEAD"] = operation
    return [
        Route(path, _Endpoint(front, methods), methods=list(methods), name=path)
        for path, methods in paths.items()
    ]


class _Endpoint:
    """The operations of one path, as an ASGI application: a function would be wrapped in layers."""

    def __init__(self, front: Front, methods: Mapping[str, Operation]) -> None:
        self._front = front
        self._methods = methods

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        exchange = exchange_of(scope)
        exchange.params = scope["path_params"]
        await answer(self._front, self._methods[scope["method"]], exchange)


async def _model_of_session(plane: Verbs, exchange: Exchange) -> str | None:
    """Of what failed, or whose client left, before its session's model was told."""
    session_id = exchange.params.get("session_id")
    if session_id is None:
        return None
    assert exchange.tenant is not None
    assert exchange.protocol is not None
    try:
        info = await plane.session(session_id, call=Call(exchange.tenant, exchange.protocol))
    except RecurError:
        return None
    return info.model


def _known_model(plane: Verbs, ref: str) -> str | None:
    try:
        return plane.model(ref).manifest.name
    except RecurError:
        return None

"""Domain error to HTTP: one table of statuses, one shape of body, the headers each one needs."""

import math
from typing import Any, Self

from service import errors
from service.errors import RecurError


class RouteNotFound(errors.NotFound):
    """No route has this path."""

    code = "route_not_found"


class MethodNotAllowed(errors.ClientError):
    """The path exists, with other methods; `details` name them."""

    code = "method_not_allowed"


class UnsupportedMediaType(errors.ClientError):
    """The body is of a type or in an encoding that no route reads."""

    code = "unsupported_media_type"


class UpgradeRequired(errors.ClientError):
    """Only a WebSocket's handshake is answered here."""

    code = "upgrade_required"


class InternalError(RecurError):
    """Something broke that nobody foresaw: the log has the traceback, the client has the id."""

    code = "internal_error"

    @classmethod
    def of_request(cls, request_id: str) -> Self:
        return cls(
            "the server failed; its log has the details under this request's id",
            details={"request_id": request_id},
        )


STATUS: dict[type[RecurError], int] = {
    errors.MalformedRequest: 400,
    errors.ClientError: 400,
    errors.Unauthenticated: 401,
    errors.NotFound: 404,
    MethodNotAllowed: 405,
    errors.Conflict: 409,
    errors.Gone: 410,
    errors.TooLarge: 413,
    UnsupportedMediaType: 415,
    errors.InvalidInput: 422,
    UpgradeRequired: 426,
    errors.QuotaExceeded: 429,
    errors.Cancelled: 499,
    errors.ModelFailed: 500,
    errors.ArtifactError: 500,
    errors.RecurError: 500,
    errors.Unavailable: 503,
    errors.DeadlineExceeded: 504,
}
"""A class that is not here has its nearest base's status.

499 is nobody's standard, but what proxies log for a client that left before its answer.
"""

_TYPES = {
    401: "authentication_error",
    404: "not_found_error",
    409: "conflict_error",
    410: "gone_error",
    429: "rate_limit_error",
    503: "unavailable_error",
    504: "timeout_error",
}


def status_of(error: RecurError) -> int:
    """The HTTP status of `error`."""
    return next(STATUS[base] for base in type(error).__mro__ if base in STATUS)


def error_body(error: RecurError) -> dict[str, Any]:
    """What a client sees of `error`, alone or in the place of one sequence's prediction."""
    status = status_of(error)
    fallback = "server_error" if status >= 500 else "invalid_request_error"
    return {
        "error": {
            "message": error.message,
            "type": _TYPES.get(status, fallback),
            "code": error.code,
            "param": error.param,
            "details": error.details,
        }
    }


def error_headers(error: RecurError) -> dict[str, str]:
    """When to try again, how to sign in, which methods there are."""
    match error:
        case errors.QuotaExceeded() | errors.Unavailable():
            return {"Retry-After": str(max(1, math.ceil(error.retry_after_seconds)))}
        case errors.Unauthenticated():
            return {"WWW-Authenticate": "Bearer"}
        case MethodNotAllowed():
            return {"Allow": ", ".join(error.details["allow"])}
        case UpgradeRequired():
            return {"Upgrade": "websocket", "Connection": "Upgrade"}
        case _:
            return {}

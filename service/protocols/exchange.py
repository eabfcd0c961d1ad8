"""What is known of one request and its answer: routes fill it in, the edge records it."""

from collections.abc import MutableMapping
from dataclasses import dataclass
from typing import Any, cast

_KEY = "recur.exchange"


@dataclass(slots=True)
class Exchange:
    """Mutable, because it is the request's own: it is born and read out at the edge."""

    request_id: str
    arrived: float
    """In seconds of `time.monotonic()`."""
    protocol: str | None
    route: str | None = None
    """The path's template; None if no route matched."""
    tenant: str | None = None
    model: str | None = None
    """The name of a served model, never a request's text: it becomes a metric's label."""
    outcome: str = "ok"
    """`ok`, or the code of the error."""
    status: int | None = None
    """None until the answer has begun."""


def begin_exchange(scope: MutableMapping[str, Any], exchange: Exchange) -> None:
    scope[_KEY] = exchange


def exchange_of(scope: MutableMapping[str, Any]) -> Exchange:
    return cast(Exchange, scope[_KEY])

"""One HTTP request and its answer: what came in, what is known of it, and the way back.

Routes fill it in, the edge records it.
"""

from collections.abc import MutableMapping
from typing import Any, cast

from starlette.types import Receive, Scope, Send

from service.protocols.request_id import REQUEST_ID_KEY

_KEY = "recur.exchange"


class Exchange:
    """Mutable, because it is the request's own: it is born and read out at the edge."""

    __slots__ = (
        "arrived",
        "headers",
        "method",
        "model",
        "outcome",
        "params",
        "path",
        "protocol",
        "receive",
        "request_id",
        "route",
        "send",
        "status",
        "tenant",
    )

    def __init__(self, scope: Scope, receive: Receive, send: Send, *, arrived: float) -> None:
        self.receive = receive
        self.send = send
        self.method: str = scope["method"]
        self.path: str = scope["path"]
        self.headers: dict[bytes, bytes] = dict(scope["headers"])
        """By lower-case name; of a name that stands twice, the last."""
        self.request_id = ""
        self.arrived = arrived
        """In seconds of `time.monotonic()`."""
        self.protocol: str | None = "native" if self.path.startswith("/v1/") else None
        """Whose request it is; probes and documents are nobody's."""
        self.params: dict[str, str] = {}
        """What stands in the path at the route's names."""
        self.route: str | None = None
        """The path's template; None if no route matched."""
        self.tenant: str | None = None
        self.model: str | None = None
        """The name of a served model, never a request's text: it becomes a metric's label."""
        self.outcome = "ok"
        """`ok`, or the code of the error."""
        self.status: int | None = None
        """None until the answer has begun."""

    def header(self, name: bytes) -> str:
        """The header of this lower-case name; empty if there is none."""
        return self.headers.get(name, b"").decode("latin-1")

    async def begin(self, status: int, headers: list[tuple[bytes, bytes]]) -> None:
        """The answer's head, with the request's id."""
        self.status = status
        headers.append((REQUEST_ID_KEY, self.request_id.encode()))
        await self.send({"type": "http.response.start", "status": status, "headers": headers})

    async def write(self, body: bytes, *, more: bool = False) -> None:
        """A piece of the answer's body; the last one unless there is `more`."""
        await self.send({"type": "http.response.body", "body": body, "more_body": more})


def begin_exchange(scope: MutableMapping[str, Any], exchange: Exchange) -> None:
    scope[_KEY] = exchange


def exchange_of(scope: MutableMapping[str, Any]) -> Exchange:
    return cast(Exchange, scope[_KEY])

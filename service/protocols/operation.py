"""One value for each operation: its route and its page in the OpenAPI document come from it."""

import math
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

from service.dataplane.types import PRIORITIES, Call
from service.dataplane.verbs import Verbs
from service.errors import InvalidInput, MalformedRequest
from service.protocols.auth import Authenticator
from service.protocols.body import (
    Form,
    check_identity,
    check_json,
    read_body,
)
from service.protocols.exchange import Exchange
from service.protocols.health import Health
from service.protocols.presence import Presence
from service.protocols.reply import Answer
from service.protocols.sse import PING_SECONDS
from service.telemetry.requests import Exposition

A = TypeVar("A")
T = TypeVar("T")

DEADLINE_HEADER = "Recur-Deadline-Ms"
_DEADLINE_KEY = DEADLINE_HEADER.lower().encode()
PRIORITY_HEADER = "Recur-Priority"
_PRIORITY_KEY = PRIORITY_HEADER.lower().encode()


@dataclass(frozen=True, slots=True)
class HttpConfig:
    """What the HTTP layer itself decides; everything about models is the data plane's."""

    max_body_bytes: int = 16 * 2**20
    max_sequences: int = 1024
    """Of one request, so that more of them need not be read to be refused."""
    default_deadline_seconds: float | None = None
    """Of a request that names none; None is no deadline."""
    ping_seconds: float = PING_SECONDS
    """Silence after which an event stream sends a comment."""
    stream_window: int = 16
    """Frames of one socket that are read ahead of the one that is answered."""
    access_log: bool = False
    """Whether each request leaves a line in the log."""


class Telemetry(Protocol):
    """Where measurements are kept: in this process or in another."""

    def observe(self, protocol: str, model: str, outcome: str, seconds: float) -> None:
        """A request was answered."""
        ...

    async def exposition(self, accept: str) -> Exposition:
        """All measurements as text, of the form that the Accept header asks for."""
        ...


@dataclass(frozen=True, slots=True)
class Front:
    """What every operation has at hand."""

    plane: Verbs
    auth: Authenticator
    health: Health
    telemetry: Telemetry
    config: HttpConfig
    presence: Presence = field(default_factory=Presence)

    async def ask(self, exchange: Exchange, form: Form[A]) -> A:
        """What the request's body says, in whichever form it came."""
        config = self.config
        if form.comes_in_tensors(exchange):
            check_identity(exchange)
            read = form.read_tensors
        else:
            check_json(exchange, accepted=form.media_types)
            read = form.read_json
        body = await read_body(exchange, config.max_body_bytes)
        return await read(body, max_sequences=config.max_sequences)

    def call(self, exchange: Exchange, *, deadline_ms: float | None = None) -> Call:
        """Who asks, and until when: by the body, else by the header, else by the configuration."""
        assert exchange.tenant is not None
        assert exchange.protocol is not None
        milliseconds = deadline_ms or deadline_of(exchange.headers)
        deadline = self.deadline(exchange.arrived, milliseconds)
        return Call(exchange.tenant, exchange.protocol, deadline, priority_of(exchange.headers))

    def deadline(self, arrived: float, milliseconds: float | None) -> float | None:
        """Of what arrived then, in seconds of `time.monotonic()`; None, by the configuration."""
        if milliseconds is not None:
            return arrived + milliseconds / 1000
        seconds = self.config.default_deadline_seconds
        return None if seconds is None else arrived + seconds

    def finish(self, exchange: Exchange, work: Awaitable[T]) -> Coroutine[Any, Any, T]:
        """The result of `work`. Raises Cancelled if the client leaves first."""
        return self.presence.while_connected(exchange.receive, work)


Endpoint = Callable[[Front, Exchange], Awaitable[Answer]]


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
    description: str = ""
    """What the summary and the schemas leave open."""
    body: Form[Any] | None = None
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    """Headers of the reply worth knowing, with what they say."""
    needs_key: bool = True
    begins_work: bool = False
    """Refused while the service starts or drains."""


def priority_of(headers: Mapping[bytes, bytes]) -> str:
    """As a header says, `headers` by lower-case name. Raises InvalidInput."""
    sent = headers.get(_PRIORITY_KEY)
    if sent is None:
        return "normal"
    priority = sent.decode("latin-1").strip().lower()
    if priority not in PRIORITIES:
        raise InvalidInput(
            f"{PRIORITY_HEADER}: expected one of {', '.join(PRIORITIES)}",
            param=PRIORITY_HEADER,
            details={"values": list(PRIORITIES)},
        )
    return priority


def deadline_of(headers: Mapping[bytes, bytes]) -> float | None:
    """Milliseconds, as a header says. Raises MalformedRequest, InvalidInput."""
    sent = headers.get(_DEADLINE_KEY)
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

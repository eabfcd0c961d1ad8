"""Values to JSON replies. A float32 is printed with the digits that read back as itself."""

import asyncio
from contextlib import suppress
from typing import Any

import numpy as np
import orjson
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from service.errors import RecurError
from service.protocols.status import error_body, error_headers, status_of

LINGER_SECONDS = 2.0

_OPTIONS = orjson.OPT_SERIALIZE_NUMPY


def to_json(content: Any) -> bytes:
    """One line of JSON; NaN and infinity, which JSON lacks, become null."""
    return orjson.dumps(content, default=_default, option=_OPTIONS)


def json_reply(
    content: Any, *, status: int = 200, headers: dict[str, str] | None = None
) -> Response:
    return Response(to_json(content), status, headers, media_type="application/json")


def error_reply(error: RecurError) -> Response:
    return json_reply(error_body(error), status=status_of(error), headers=error_headers(error))


class LastReply(Response):
    """An answer given while the client still writes; the connection closes behind it.

    Closing at once would reset the connection, and the client's system would throw away the answer
    that it had not read yet. So what still comes is read and dropped, for a moment.
    """

    def __init__(self, reply: Response) -> None:
        super().__init__(reply.body, reply.status_code, dict(reply.headers))
        self.headers["Connection"] = "close"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        head = {"type": "http.response.start", "status": self.status_code}
        await send(head | {"headers": self.raw_headers})
        await send({"type": "http.response.body", "body": self.body, "more_body": True})
        with suppress(TimeoutError):
            async with asyncio.timeout(LINGER_SECONDS):
                while (await receive()).get("more_body", False):
                    continue
        await send({"type": "http.response.body", "body": b"", "more_body": False})


def _default(value: Any) -> Any:
    """orjson hands over arrays that are not contiguous, and the odd thing in an error's details."""
    if isinstance(value, np.ndarray):
        return np.ascontiguousarray(value) if value.ndim else value.item()
    return str(value)

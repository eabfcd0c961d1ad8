"""Values to JSON replies. A float32 is printed with the digits that read back as itself."""

from typing import Any

import numpy as np
import orjson
from starlette.responses import Response

from service.errors import RecurError
from service.protocols.status import error_body, error_headers, status_of

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


def _default(value: Any) -> Any:
    """orjson hands over arrays that are not contiguous, and the odd thing in an error's details."""
    if isinstance(value, np.ndarray):
        return np.ascontiguousarray(value) if value.ndim else value.item()
    return str(value)

"""What a request is called, in its answer and in the log: what its client calls it, or a number."""

import itertools
import re
import secrets
from collections.abc import Mapping

REQUEST_ID_HEADER = "X-Request-Id"
REQUEST_ID_KEY = REQUEST_ID_HEADER.lower().encode()

_SANE_ID = re.compile(rb"[\x20-\x7e]{1,128}")

_RUN = secrets.token_hex(8)
_numbers = itertools.count(1)
"""Random ids would cost a system call each, and with it the interpreter's lock: a sixth of the
time of a small request, when an engine's thread is busy."""


def request_id_of(headers: Mapping[bytes, bytes]) -> str:
    """The client's own, where it is something that a log and a header can hold."""
    sent = headers.get(REQUEST_ID_KEY)
    if sent is not None and _SANE_ID.fullmatch(sent):
        return sent.decode("ascii")
    return f"{_RUN}-{next(_numbers):x}"

"""The time that sessions live by, and how a client reads it."""

import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import lru_cache


def steady_clock() -> Callable[[], float]:
    """Seconds since the epoch that never jump: no session expires because the clock was set."""
    start = time.time() - time.monotonic()
    return lambda: start + time.monotonic()


def iso(seconds: float) -> str:
    """ISO 8601 in UTC, to the millisecond."""
    milliseconds = int(seconds * 1000)
    return f"{_iso(milliseconds // 1000)}.{milliseconds % 1000:03}Z"


@lru_cache(maxsize=64)
def _iso(seconds: int) -> str:
    """Of a whole second; the replies of one second tell of few of them."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")

"""The time that sessions live by, and how a client reads it."""

import time
from collections.abc import Callable
from datetime import UTC, datetime


def steady_clock() -> Callable[[], float]:
    """Seconds since the epoch that never jump: no session expires because the clock was set."""
    start = time.time() - time.monotonic()
    return lambda: start + time.monotonic()


def iso(seconds: float) -> str:
    """ISO 8601 in UTC, to the millisecond."""
    moment = datetime.fromtimestamp(seconds, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")

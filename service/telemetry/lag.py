"""How late the event loop is: a timer, due ten times a second, tells how long it had to wait.

So long would anything have waited that became due at that moment: for a call that holds the loop,
for the interpreter's lock, or for a processor.
"""

import asyncio
import time

from service.telemetry.tally import Spread

_PERIOD_SECONDS = 0.1


async def watch_lag(lag: Spread, *, period_seconds: float = _PERIOD_SECONDS) -> None:
    """Until it is cancelled."""
    while True:
        due = time.monotonic() + period_seconds  # a loop's own clock may be good to 1 ms only
        await asyncio.sleep(period_seconds)
        lag.observe(max(0.0, time.monotonic() - due))

"""The loop's lag is what its timers miss."""

import asyncio
import time

from service.telemetry.lag import watch_lag
from service.telemetry.tally import Spread

HELD_SECONDS, PERIOD_SECONDS = 0.02, 0.001


class Seen(Spread):
    """Every value, and a word when one has come."""

    __slots__ = ("came", "values")

    def __init__(self) -> None:
        super().__init__(())
        self.values: list[float] = []
        self.came = asyncio.Event()

    def observe(self, value: float) -> None:
        self.values.append(value)
        self.came.set()


async def test_a_call_that_holds_the_loop_is_seen_as_lag():
    seen = Seen()
    watch = asyncio.create_task(watch_lag(seen, period_seconds=PERIOD_SECONDS))
    await seen.came.wait()
    seen.values.clear()
    seen.came.clear()
    until = time.monotonic() + HELD_SECONDS
    while time.monotonic() < until:
        continue
    await seen.came.wait()
    watch.cancel()

    # The timer was due at most a period after the loop was first held.
    assert seen.values[0] >= HELD_SECONDS - PERIOD_SECONDS

"""Sessions of the running total: their state is a number that a test knows."""

from typing import Any

from service.dataplane.types import Feed, OpenRequest, SessionInfo
from tests.service.dataplane.serving import Serving, call, column, total_of

TOTAL = "running-total"


def open_one(it: Serving, session_id: str = "mine", model: str = TOTAL, **more: Any) -> SessionInfo:
    request = OpenRequest(session_id=session_id, **more)
    return it.plane.open_session(model, request, call=call())


async def feed(
    it: Serving, *values: float, session_id: str = "mine", step: int | None = None
) -> Feed:
    return await it.plane.feed(session_id, column(values), call=call(), step=step)


async def total(it: Serving, *values: float, session_id: str = "mine") -> float:
    return total_of((await feed(it, *values, session_id=session_id)).reply.prediction)


def step_of(it: Serving, session_id: str = "mine") -> int:
    return it.plane.session(session_id, call=call()).step


def state_of(it: Serving, session_id: str = "mine") -> float:
    """The total so far: the norm of the only state tensor, for totals above zero."""
    return it.plane.session(session_id, call=call()).state_norms["total_in"]

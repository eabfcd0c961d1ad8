"""Opening and forking sessions: in which state they begin, and what is refused."""

import asyncio
from typing import Any

import numpy as np
import pytest

from service.dataplane.types import OpenRequest
from service.errors import (
    InvalidInput,
    ModelHasNoState,
    SessionExists,
    SessionNotFound,
    TooLarge,
    TooManySessions,
)
from service.sessions.store.memory import SessionsConfig
from tests.service.dataplane.serving import call, serving
from tests.service.dataplane.totals import TOTAL, feed, open_one, total
from tests.service.fakes import Gate


async def test_a_model_that_reads_whole_sequences_has_no_sessions() -> None:
    async with serving() as it:
        with pytest.raises(ModelHasNoState) as caught:
            open_one(it, model="parity")
        assert caught.value.param == "model"


@pytest.mark.parametrize(
    ("request_", "error", "param"),
    [
        ({"ttl_seconds": 0}, InvalidInput, "ttl_seconds"),
        ({"ttl_seconds": -1}, InvalidInput, "ttl_seconds"),
        ({"ttl_seconds": 1e9}, InvalidInput, "ttl_seconds"),
        ({"ttl_seconds": float("nan")}, InvalidInput, "ttl_seconds"),
        ({"initial_state": {"other": np.zeros((1, 1))}}, InvalidInput, "initial_state.other"),
        ({"initial_state": {"total_in": np.zeros(1)}}, InvalidInput, "initial_state.total_in"),
        ({"initial_state": {"total_in": [[np.nan]]}}, InvalidInput, "initial_state.total_in"),
        ({"initial_state": {"total_in": [[1e300]]}}, InvalidInput, "initial_state.total_in"),
        ({"initial_state": {}, "fork_of": "mine"}, InvalidInput, "initial_state"),
        ({"metadata": {"a": "b" * 5000}}, TooLarge, "metadata"),
        ({"session_id": "mine"}, SessionExists, "session_id"),
        ({"fork_of": "nobody"}, SessionNotFound, "session_id"),
    ],
)
async def test_an_opening_that_cannot_be_is_refused_by_the_field(
    request_: dict[str, Any], error: type[Exception], param: str
) -> None:
    async with serving() as it:
        open_one(it)
        state = request_.get("initial_state")
        if state is not None:
            arrays = {name: np.array(value) for name, value in state.items()}
            request_ = request_ | {"initial_state": arrays}
        with pytest.raises(error) as caught:
            it.plane.open_session(TOTAL, OpenRequest(**request_), call=call())
        assert getattr(caught.value, "param", None) == param
        assert it.metric("sessions", state="idle") == 1


async def test_the_longest_time_is_named_by_its_setting() -> None:
    async with serving() as it:
        with pytest.raises(InvalidInput, match="RECUR_SESSION_MAX_TTL_SECONDS"):
            open_one(it, ttl_seconds=1e9)


async def test_a_session_can_begin_in_a_given_state() -> None:
    async with serving() as it:
        given = np.array([[100.0]], np.float32)
        open_one(it, initial_state={"total_in": given})
        # The session has its own copy.
        given[:] = 0
        assert await total(it, 1) == 101


async def test_too_many_sessions_are_refused_by_the_settings_name() -> None:
    async with serving(sessions=SessionsConfig(max_sessions_per_tenant=1)) as it:
        open_one(it)
        with pytest.raises(TooManySessions, match="RECUR_SESSION_MAX_PER_TENANT"):
            open_one(it, "another")
        with pytest.raises(TooManySessions):
            it.plane.fork_session("mine", call=call())


async def test_a_fork_goes_its_own_way() -> None:
    async with serving() as it:
        open_one(it, metadata={"a": "b"})
        await feed(it, 1, 2)
        fork = it.plane.fork_session("mine", call=call(), new_id="fork")
        assert (fork.step, fork.metadata) == (2, {"a": "b"})
        opened = open_one(it, "opened", fork_of="mine")
        assert opened.step == 2
        assert await total(it, 10) == 13
        assert await total(it, 100, session_id="fork") == 103
        assert await total(it, 1000, session_id="opened") == 1003
        it.plane.end_session("mine", call=call())
        assert await total(it, 1, session_id="fork") == 104


async def test_a_fork_of_a_busy_session_is_of_its_last_committed_step() -> None:
    gate = Gate()
    async with serving(on_step=gate) as it:
        open_one(it)
        task = asyncio.create_task(feed(it, 5))
        await asyncio.to_thread(gate.entered.wait)
        assert it.plane.fork_session("mine", call=call(), new_id="fork").step == 0
        gate.open()
        await task
        assert await total(it, 1, session_id="fork") == 1


async def test_a_fork_on_another_model_is_refused() -> None:
    async with serving() as it:
        open_one(it)
        with pytest.raises(InvalidInput, match="running-total@1") as caught:
            open_one(it, "fork", model="babble", fork_of="mine")
        assert caught.value.param == "fork_of"

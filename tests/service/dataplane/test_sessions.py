"""Sessions through the data plane: exact totals, whatever else runs, fails or repeats itself."""

import asyncio
import time
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from service.dataplane.types import DataPlaneLimits, Feed, OpenRequest, SessionInfo
from service.errors import (
    DeadlineExceeded,
    InvalidInput,
    ModelFailed,
    ModelHasNoState,
    SessionEnded,
    SessionExists,
    SessionNotFound,
    StateNotFinite,
    StepMismatch,
    TooLarge,
    TooManySessions,
)
from service.runtime.base import StepInput
from service.sessions.store.memory import SessionsConfig
from tests.service.dataplane.serving import (
    Serving,
    call,
    column,
    predict_one,
    scores_of,
    serving,
    total_of,
)
from tests.service.fakes import Gate

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


async def test_a_session_is_opened_at_step_0_and_moves_by_steps() -> None:
    async with serving() as it:
        info = open_one(it, ttl_seconds=60, metadata={"room": "3"})
        assert (info.step, info.model, info.version) == (0, TOTAL, 1)
        assert info.expires_at == it.clock() + 60
        assert (info.state_bytes, info.state_norms) == (4, {"total_in": 0.0})
        it.clock.pass_seconds(5)
        reply = (await feed(it, 1, 2, 3)).reply
        assert (reply.session_id, reply.step) == ("mine", 3)
        assert reply.expires_at == it.clock() + 60
        assert total_of(reply.prediction) == 6
        after = it.plane.session("mine", call=call())
        assert replace(
            info, step=3, expires_at=reply.expires_at, state_norms={"total_in": 6.0}
        ) == (after)


async def test_sessions_are_listed_for_their_owner_oldest_first() -> None:
    async with serving() as it:
        for name in "ba":
            open_one(it, name)
        it.plane.open_session(TOTAL, OpenRequest(session_id="c"), call=call(tenant="other"))
        assert [info.session_id for info in it.plane.sessions(call=call())] == ["b", "a"]


async def test_a_sessions_state_does_not_keep_its_batch_in_memory() -> None:
    async with serving() as it:
        for name in "ab":
            open_one(it, name)
        await asyncio.gather(*(feed(it, 1, session_id=name) for name in "ab"))
        for name in "ab":
            (tensor,) = it.sessions.get(name, tenant="one").state.tensors
            assert tensor.base is None


async def test_another_tenant_reaches_nothing_of_a_session() -> None:
    async with serving() as it:
        open_one(it)
        other = call(tenant="other")
        for verb in (it.plane.session, it.plane.end_session, it.plane.fork_session):
            with pytest.raises(SessionNotFound):
                verb("mine", call=other)
        with pytest.raises(SessionNotFound):
            await it.plane.feed("mine", column([1]), call=other)
        with pytest.raises(SessionNotFound):
            it.plane.open_session(TOTAL, OpenRequest(fork_of="mine"), call=other)
        assert await total(it, 1) == 1


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


async def test_a_retry_gets_the_same_reply_and_moves_nothing() -> None:
    async with serving() as it:
        open_one(it)
        first = await feed(it, 1, 2, step=0)
        again = await feed(it, 1, 2, step=0)
        assert not first.replayed
        assert again.replayed
        assert again.reply is first.reply
        assert (step_of(it), state_of(it)) == (2, 3.0)
        assert it.metric("steps_replayed_total") == 1


async def test_a_retry_that_overtakes_the_first_attempt_waits_for_it() -> None:
    gate = Gate()
    async with serving(on_step=gate) as it:
        open_one(it)
        first = asyncio.create_task(feed(it, 1, step=0))
        await asyncio.to_thread(gate.entered.wait)
        retry = asyncio.create_task(feed(it, 1, step=0))
        await asyncio.sleep(0)
        gate.open()
        replies = await asyncio.gather(first, retry)
        assert [reply.replayed for reply in replies] == [False, True]
        assert replies[0].reply is replies[1].reply
        assert state_of(it) == 1.0


async def test_a_retry_after_the_first_attempt_was_cancelled_runs() -> None:
    gate = Gate()
    async with serving(on_step=gate) as it:
        open_one(it)
        first = asyncio.create_task(feed(it, 1, step=0))
        await asyncio.to_thread(gate.entered.wait)
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        gate.open()
        assert not (await feed(it, 1, step=0)).replayed
        assert (step_of(it), state_of(it)) == (1, 1.0)


@pytest.mark.parametrize(("values", "step"), [((1, 2), 0), ((1.5,), 0), ((1,), 9), ((1,), -1)])
async def test_a_step_elsewhere_or_of_another_request_is_a_conflict(
    values: tuple[float, ...], step: int
) -> None:
    async with serving() as it:
        open_one(it)
        await feed(it, 1, step=0)
        with pytest.raises(StepMismatch) as caught:
            await feed(it, *values, step=step)
        assert caught.value.param == "step"
        assert caught.value.details == {"expected_step": 1}
        assert (step_of(it), state_of(it)) == (1, 1.0)
        assert it.metric("step_conflicts_total") == 1


async def test_a_retry_behind_the_window_is_a_conflict() -> None:
    async with serving(sessions=SessionsConfig(replay_window=2)) as it:
        open_one(it)
        for step in range(3):
            await feed(it, 1, step=step)
        assert (await feed(it, 1, step=1)).replayed
        with pytest.raises(StepMismatch):
            await feed(it, 1, step=0)


async def test_a_reply_too_large_to_keep_leaves_the_session_in_order() -> None:
    async with serving(sessions=SessionsConfig(replay_bytes=10)) as it:
        open_one(it)
        await feed(it, 1, step=0)
        with pytest.raises(StepMismatch):
            await feed(it, 1, step=0)
        assert await total(it, 1) == 2


async def fails_with_bad_input(it: Serving) -> None:
    with pytest.raises(InvalidInput) as caught:
        await it.plane.feed("mine", "text", call=call())
    assert caught.value.param == "inputs"


async def fails_with_too_many_steps(it: Serving) -> None:
    with pytest.raises(TooLarge, match="RECUR_MAX_STEPS"):
        await feed(it, *([1] * 101))


async def fails_with_a_deadline_in_the_past(it: Serving) -> None:
    with pytest.raises(DeadlineExceeded):
        await it.plane.feed("mine", column([1]), call=call(deadline=time.monotonic() - 1))


async def fails_with_a_deadline_on_the_way(it: Serving) -> None:
    deadline = time.monotonic() + 0.05
    values = column([99] * 100)
    with pytest.raises(DeadlineExceeded):
        await it.plane.feed("mine", values, call=call(deadline=deadline))


async def fails_with_infinity(it: Serving) -> None:
    with pytest.raises(StateNotFinite) as caught:
        await feed(it, 3e38, 3e38)
    assert caught.value.param == "inputs"


async def fails_in_the_runtime(it: Serving) -> None:
    with pytest.raises(ModelFailed):
        await feed(it, 1, 2, 3, 4, 5, 6, 7, 8, 666)


async def fails_by_leaving(it: Serving) -> None:
    task = asyncio.create_task(feed(it, *([1] * 100)))
    while not it.engines[0].in_flight:  # noqa: ASYNC110 - a count, no event
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


def trouble(step: StepInput) -> None:
    if (step.values == 666).any():
        raise ModelFailed("broken")
    if (step.values == 99).any():
        time.sleep(0.03)


@pytest.mark.parametrize(
    "fails",
    [
        fails_with_bad_input,
        fails_with_too_many_steps,
        fails_with_a_deadline_in_the_past,
        fails_with_a_deadline_on_the_way,
        fails_with_infinity,
        fails_in_the_runtime,
        fails_by_leaving,
    ],
)
async def test_a_step_that_fails_leaves_state_and_step_as_they_were(fails: Any) -> None:
    async with serving(on_step=trouble, limits=DataPlaneLimits(max_steps=100)) as it:
        open_one(it)
        await feed(it, 2, 3)
        before = it.plane.session("mine", call=call())
        await fails(it)
        await it.idle()
        assert it.plane.session("mine", call=call()) == before
        assert await total(it, 4) == 9


async def test_a_session_that_ends_while_a_step_runs_commits_nothing() -> None:
    gate = Gate()
    async with serving(on_step=gate) as it:
        open_one(it)
        task = asyncio.create_task(feed(it, 5))
        await asyncio.to_thread(gate.entered.wait)
        last = it.plane.end_session("mine", call=call())
        assert (last.step, last.busy) == (0, True)
        reopened = open_one(it)
        gate.open()
        with pytest.raises(SessionEnded):
            await task
        assert it.plane.session("mine", call=call()) == reopened
        assert await total(it, 1) == 1


async def test_steps_without_a_number_run_in_order_of_arrival() -> None:
    async with serving() as it:
        open_one(it)
        totals = await asyncio.gather(*(total(it, 10**place) for place in range(5)))
        assert totals == [1, 11, 111, 1111, 11111]


async def test_a_language_model_goes_on_from_the_token_before() -> None:
    tokens = np.arange(60, 100)
    async with serving() as it:
        open_one(it, model="babble")
        parts = [
            scores_of((await it.plane.feed("mine", part, call=call())).reply.prediction)
            for part in np.split(tokens, [1, 2, 20])
        ]
        whole = scores_of(await predict_one(it, "babble", tokens))
    np.testing.assert_array_equal(np.concatenate(parts), whole)


@st.composite
def cut(draw: st.DrawFn, elements: st.SearchStrategy[int]) -> list[list[int]]:
    """A sequence in chunks."""
    return draw(st.lists(st.lists(elements, min_size=1, max_size=9), min_size=1, max_size=6))


sessions_of_numbers = st.lists(cut(st.integers(-1000, 1000)), min_size=1, max_size=5)
sessions_of_tokens = st.lists(cut(st.integers(0, 255)), min_size=1, max_size=5)


@settings(deadline=None, max_examples=20)
@given(sessions_of_numbers, st.lists(st.integers(-1000, 1000), min_size=1, max_size=40))
async def test_a_sessions_totals_are_its_own_in_any_chunks_and_company(
    chunks: list[list[list[int]]], other: list[int]
) -> None:
    async def live(it: Serving, name: str, mine: list[list[int]]) -> None:
        open_one(it, name)
        for number, chunk in enumerate(mine):
            seen = await total(it, *chunk, session_id=name)
            assert seen == sum(sum(part) for part in mine[: number + 1])

    async with serving() as it:
        await asyncio.gather(
            *(live(it, str(index), mine) for index, mine in enumerate(chunks)),
            *(predict_one(it, TOTAL, column(other)) for _ in range(3)),
        )


@settings(deadline=None, max_examples=20)
@given(sessions_of_tokens, st.lists(st.integers(0, 255), min_size=1, max_size=40))
async def test_a_session_scores_what_one_prediction_scores_bit_for_bit(
    chunks: list[list[list[int]]], other: list[int]
) -> None:
    async def live(it: Serving, name: str, mine: list[list[int]]) -> np.ndarray:
        open_one(it, name, model="babble")
        replies = [await it.plane.feed(name, np.array(part), call=call()) for part in mine]
        return np.concatenate([scores_of(reply.reply.prediction) for reply in replies])

    async with serving() as it:
        lives = [live(it, str(index), mine) for index, mine in enumerate(chunks)]
        noise = (predict_one(it, "babble", np.array(other)) for _ in range(3))
        seen = (await asyncio.gather(*lives, *noise))[: len(lives)]
        for scores, mine in zip(seen, chunks, strict=True):
            whole = await predict_one(it, "babble", np.concatenate(mine))
            np.testing.assert_array_equal(scores, scores_of(whole))

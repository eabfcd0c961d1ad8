"""Sessions through the data plane: exact totals, whatever else runs, fails or repeats itself."""

import asyncio
import time
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from service.dataplane.types import DataPlaneLimits, OpenRequest
from service.errors import (
    DeadlineExceeded,
    InvalidInput,
    ModelFailed,
    SessionEnded,
    SessionNotFound,
    StateNotFinite,
    StepMismatch,
    TooLarge,
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
from tests.service.dataplane.totals import TOTAL, feed, open_one, state_of, step_of, total
from tests.service.fakes import Gate


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

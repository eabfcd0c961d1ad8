"""Many chunks in one request: each as if it were alone, those of free sessions in one batch."""

import asyncio
from typing import Any

import numpy as np
import pytest
from msgspec.structs import replace

from service.dataplane.types import Chunk, DataPlaneLimits, Feed, OpenRequest
from service.errors import (
    InvalidInput,
    QueueFull,
    RecurError,
    SessionNotFound,
    StepMismatch,
    TooLarge,
)
from service.runtime.base import StepInput
from tests.service.dataplane.serving import Serving, call, column, serving, total_of
from tests.service.fakes import Gate
from tests.service.garbage import garbage_of


def open_many(it: Serving, *names: str, model: str = "running-total") -> None:
    for name in names:
        it.plane.open_session(model, OpenRequest(session_id=name), call=call())


def chunk(session_id: str, *values: float, step: int | None = None) -> Chunk:
    return Chunk(session_id, column(values), step)


async def feed_many(it: Serving, *chunks: Chunk) -> list[Feed | RecurError]:
    return await it.plane.feed_many(chunks, call=call())


def totals(results: list[Feed | RecurError]) -> list[float | type[RecurError]]:
    return [
        total_of(result.reply.prediction) if isinstance(result, Feed) else type(result)
        for result in results
    ]


async def test_chunks_of_free_sessions_step_in_one_batch() -> None:
    batches: list[int] = []

    def on_step(step: StepInput) -> None:
        batches.append(len(step.lengths))

    async with serving(on_step=on_step) as it:
        open_many(it, "a", "b", "c")
        results = await feed_many(it, chunk("a", 1), chunk("b", 2), chunk("c", 3))
        assert totals(results) == [1, 2, 3]
        assert batches == [3]


async def test_raw_outputs_of_all_chunks_share_the_limit_and_what_is_beyond_fails_alone() -> None:
    async with serving(limits=DataPlaneLimits(max_raw_bytes=4 * 5)) as it:
        open_many(it, "a", "b", "c")
        raw = [replace(chunk(name, 1, 1), raw=True) for name in "abca"]
        results = await feed_many(it, *raw[:3], chunk("c", 5), raw[3])
        assert totals(results) == [2, 2, TooLarge, 5, TooLarge]
        errors = [result for result in results if isinstance(result, TooLarge)]
        assert [error.param for error in errors] == ["steps[2].raw", "steps[4].raw"]
        assert it.plane.session("a", call=call()).step == 2


async def test_sessions_of_several_models_go_on_in_one_request() -> None:
    async with serving() as it:
        open_many(it, "a", "b")
        open_many(it, "text", model="babble")
        text = Chunk("text", "ab")
        first, second, third = await feed_many(it, chunk("a", 1), text, chunk("b", 2))
        assert totals([first, third]) == [1, 2]
        assert isinstance(second, Feed)
        assert (second.model, second.reply.step) == ("babble", 2)


async def test_chunks_of_one_session_run_in_their_order() -> None:
    async with serving() as it:
        open_many(it, "a", "b")
        chunks = [chunk("a", 1, step=0), chunk("b", 10), chunk("a", 2, 3, step=1), chunk("a", 4)]
        results = await feed_many(it, *chunks)
        assert totals(results) == [1, 10, 6, 10]


async def test_one_that_fails_fails_alone_with_its_own_error() -> None:
    async with serving() as it:
        open_many(it, "a", "b", "c")
        bad = Chunk("b", np.zeros((1, 2)))
        chunks = [chunk("a", 1), bad, chunk("nobody", 1), chunk("c", 1, step=7), chunk("c", 5)]
        results = await feed_many(it, *chunks)
        assert totals(results) == [1, InvalidInput, SessionNotFound, StepMismatch, 5]
        assert isinstance(results[1], InvalidInput)
        assert results[1].param == "steps[1].inputs"
        assert it.plane.session("b", call=call()).step == 0


async def test_a_retry_is_answered_again_and_moves_nothing() -> None:
    async with serving() as it:
        open_many(it, "a", "b")
        chunks = [chunk("a", 1, step=0), chunk("b", 2, step=0)]
        first = await feed_many(it, *chunks)
        again = await feed_many(it, *chunks)
        alone = await it.plane.feed("a", column([1]), call=call(), step=0)
        assert [result.replayed for result in again if isinstance(result, Feed)] == [True, True]
        assert totals(again) == totals(first) == [1, 2]
        assert alone.replayed
        assert it.metric("steps_replayed_total") == 3


async def test_a_busy_session_holds_nobody_else_back() -> None:
    gate = Gate()

    def hold_nines(step: StepInput) -> None:
        if (step.values == 9).any():
            gate(step)

    async with serving(on_step=hold_nines, num_workers=2) as it:
        open_many(it, "busy", "free")
        busy = asyncio.create_task(it.plane.feed("busy", column([9, 9, 9, 9]), call=call()))
        other = asyncio.create_task(it.plane.feed("free", column([0, 0, 0, 0]), call=call()))
        await other
        assert await asyncio.to_thread(gate.entered.wait, 5)
        many = asyncio.create_task(feed_many(it, chunk("busy", 1), chunk("free", 2, 2, 2, 2)))
        while it.plane.session("free", call=call()).step < 8:  # noqa: ASYNC110 - no event tells
            await asyncio.sleep(0)
        assert not many.done()
        gate.open()
        assert totals(await many) == [37, 8]
        await busy


async def test_requests_that_want_the_same_sessions_in_other_orders_all_end() -> None:
    async with serving() as it:
        names = ["a", "b", "c"]
        open_many(it, *names)
        orders = [names, names[::-1], ["b", "a", "c", "b"]] * 5
        await asyncio.gather(*(feed_many(it, *(chunk(n, 1) for n in order)) for order in orders))
        steps = {name: it.plane.session(name, call=call()).step for name in names}
        assert steps == {"a": 15, "b": 20, "c": 15}


async def test_who_leaves_takes_everything_along_and_leaves_the_sessions_free() -> None:
    gate = Gate()
    async with serving(on_step=gate) as it:
        open_many(it, "a", "b")
        first = asyncio.create_task(feed_many(it, chunk("a", 1)))
        assert await asyncio.to_thread(gate.entered.wait, 5)
        second = asyncio.create_task(feed_many(it, chunk("a", 2), chunk("b", 2)))
        await asyncio.sleep(0)
        for task in (second, first):
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        gate.open()
        assert totals(await feed_many(it, chunk("a", 5), chunk("b", 5))) == [5, 5]


async def test_a_full_queue_refuses_the_rows_and_leaves_their_sessions() -> None:
    async with serving(max_queue=1) as it:
        open_many(it, "a", "b")
        assert totals(await feed_many(it, chunk("a", 1), chunk("b", 1))) == [QueueFull, QueueFull]
        assert totals(await feed_many(it, chunk("a", 1))) == [1]


@pytest.mark.parametrize(("count", "error"), [(0, InvalidInput), (3, TooLarge)])
async def test_how_many_there_may_be_is_named(count: int, error: type[RecurError]) -> None:
    async with serving(limits=DataPlaneLimits(max_sequences=2)) as it:
        chunks: list[Any] = [chunk("a", 1)] * count
        with pytest.raises(error) as caught:
            await feed_many(it, *chunks)
        assert caught.value.param == "steps"


async def test_a_long_text_is_read_beside_the_loop() -> None:
    async with serving() as it:
        open_many(it, "a", "b", model="babble")
        results = await feed_many(it, Chunk("a", "ab" * 6000), Chunk("b", "ab"))
        assert [result.reply.step for result in results if isinstance(result, Feed)] == [12000, 2]


async def test_chunks_that_fail_leave_nothing_to_the_collector() -> None:
    async with serving() as it:
        open_many(it, "a", "b")

        async def step() -> None:
            unfit = Chunk("b", column([float("nan")]))
            await feed_many(it, chunk("a", 1), chunk("nobody", 1), unfit)

        assert await garbage_of(step) == 0

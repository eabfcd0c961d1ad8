"""The engine's thread with the running-total model: what one caller gets, and what others do."""

import asyncio
import threading
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry

from service.engine.collector import Arrival, Collector
from service.engine.continuations import Finished, Read, Wanted
from service.engine.cost import CostModel
from service.engine.engine import Engine, EngineConfig, Row
from service.engine.pool import Pool
from service.engine.scheduler import SchedulerConfig
from service.errors import DeadlineExceeded, Draining, ModelFailed, QueueFull, StateNotFinite
from service.runtime.base import StepInput
from service.telemetry.metrics import Metrics
from tests.service.fakes import DEAR_CALLS, Gate, RunningTotal

SMALL = EngineConfig(
    SchedulerConfig(max_rows=4, chunk_steps=4, max_padded_steps=16, lonely_padded_steps=8)
)


CHEAP_CALLS = CostModel(call=1e-6, step=0.0, row=0.0, row_step=1e-6)


@asynccontextmanager
async def running(
    runtime: RunningTotal,
    config: EngineConfig = SMALL,
    *,
    whole: bool = False,
    cost: CostModel = DEAR_CALLS,
) -> AsyncIterator[Engine]:
    metrics = Metrics(CollectorRegistry())
    pool = Pool(config.num_workers)
    engine = Engine(
        runtime, config, pool=pool, name="total", whole=whole, metrics=metrics, cost=cost
    )
    try:
        yield engine
    finally:
        await engine.close()
        await pool.close()


def row(values: list[int], runtime: RunningTotal, *, keep: bool = False) -> Row:
    inputs = np.array(values, np.float32)[:, None]
    reader = Read(runtime.per_step, wanted=Wanted("total", np.asarray), keep=keep)
    return Row(inputs, runtime.initial_state(), reader)


async def total(engine: Engine, runtime: RunningTotal, values: list[int]) -> float:
    collector = engine.submit([row(values, runtime)], deadline=None)
    (end,) = await collector.ends()
    assert isinstance(end, Finished)
    assert end.answer is not None
    assert end.state[0][0, 0] == end.answer[0]
    return float(end.answer[0])


values = st.lists(st.integers(-1000, 1000), min_size=1, max_size=30)


@settings(deadline=None, max_examples=60, suppress_health_check=list(HealthCheck))
@given(
    st.lists(values, min_size=1, max_size=20),
    st.booleans(),
    st.integers(1, 3),
    st.sampled_from([DEAR_CALLS, CHEAP_CALLS]),
)
async def test_no_row_is_touched_by_its_company_its_chunks_or_its_padding(
    rows: list[list[int]], whole: bool, num_workers: int, cost: CostModel
) -> None:
    runtime = RunningTotal()
    config = EngineConfig(SMALL.scheduler, num_workers=num_workers)
    async with running(runtime, config, whole=whole, cost=cost) as engine:
        totals = await asyncio.gather(*(total(engine, runtime, one) for one in rows))
    assert totals == [sum(one) for one in rows]


@settings(deadline=None, max_examples=30)
@given(st.lists(values, min_size=1, max_size=20))
async def test_rows_of_one_call_come_back_in_their_order(rows: list[list[int]]) -> None:
    runtime = RunningTotal()
    async with running(runtime) as engine:
        collector = engine.submit([row(one, runtime, keep=True) for one in rows], deadline=None)
        ends = await collector.ends()
    for end, one in zip(ends, rows, strict=True):
        assert isinstance(end, Finished)
        assert end.outputs is not None
        np.testing.assert_array_equal(end.outputs["total"][:, 0], np.cumsum(one))


async def test_a_failing_batch_fails_its_callers_and_nobody_else() -> None:
    def break_on_666(step: StepInput) -> None:
        if (step.values == 666).any():
            raise ValueError("boom")

    runtime = RunningTotal(on_step=break_on_666)
    async with running(runtime) as engine:
        before = await total(engine, runtime, [1, 2])
        (error,) = await engine.submit([row([666], runtime)], deadline=None).ends()
        assert isinstance(error, ModelFailed)
        assert await total(engine, runtime, [1, 2]) == before == 3


async def test_a_row_that_turns_infinite_fails_alone() -> None:
    runtime = RunningTotal()
    huge = Row(np.full((2, 1), 3e38, np.float32), runtime.initial_state(), Read(runtime.per_step))
    async with running(runtime) as engine:
        ends = await engine.submit([huge, row([5, 6], runtime)], deadline=None).ends()
    assert isinstance(ends[0], StateNotFinite)
    assert isinstance(ends[1], Finished)
    assert ends[1].answer[0] == 11


async def test_work_that_waits_too_long_is_answered_and_not_run() -> None:
    gate = Gate()
    runtime = RunningTotal(on_step=gate)
    async with running(runtime) as engine:
        first = engine.submit([row([1], runtime)], deadline=None)
        await asyncio.to_thread(gate.entered.wait)
        late = engine.submit([row([2], runtime)], deadline=time.monotonic() + 0.01)
        await asyncio.sleep(0.02)
        gate.open()
        await first.ends()
        (error,) = await late.ends()
    assert isinstance(error, DeadlineExceeded)
    assert [step.values.ravel().tolist() for step in runtime.steps] == [[1.0]]


async def test_a_deadline_in_the_past_is_refused_at_once() -> None:
    runtime = RunningTotal()
    async with running(runtime) as engine:
        with pytest.raises(DeadlineExceeded):
            engine.submit([row([1], runtime)], deadline=time.monotonic() - 1)
        assert engine.in_flight == 0


async def test_a_caller_who_leaves_is_dropped_within_one_step() -> None:
    gate = Gate()
    runtime = RunningTotal(on_step=gate)
    async with running(runtime) as engine:
        leaver = engine.submit([row([1] * 100, runtime)], deadline=None)
        await asyncio.to_thread(gate.entered.wait)
        leaver.close()
        gate.open()
        assert await total(engine, runtime, [7]) == 7
        steps_of_leaver = sum(1 for step in runtime.steps if (step.values == 1).any())
        assert steps_of_leaver == 1
        assert engine.in_flight == 0


async def test_a_full_queue_refuses_all_rows_of_a_call_or_none() -> None:
    gate = Gate()
    runtime = RunningTotal(on_step=gate)
    async with running(runtime, EngineConfig(SMALL.scheduler, max_queue=3)) as engine:
        held = engine.submit([row([1], runtime), row([2], runtime)], deadline=None)
        with pytest.raises(QueueFull, match="RECUR_MAX_QUEUE"):
            engine.submit([row([3], runtime), row([4], runtime)], deadline=None)
        assert engine.in_flight == 2
        gate.open()
        await held.ends()
        assert await total(engine, runtime, [5]) == 5


async def test_draining_finishes_the_work_in_flight_and_refuses_more() -> None:
    gate = Gate()
    runtime = RunningTotal(on_step=gate)
    async with running(runtime) as engine:
        collector = engine.submit([row([1, 2, 3], runtime)], deadline=None)
        drain = asyncio.create_task(engine.drain(10))
        await asyncio.to_thread(gate.entered.wait)
        with pytest.raises(Draining):
            engine.submit([row([4], runtime)], deadline=None)
        gate.open()
        assert await drain
        (end,) = await collector.ends()
        assert isinstance(end, Finished)


async def test_work_in_pieces_is_admitted_once_and_a_drain_waits_for_all_of_it() -> None:
    runtime = RunningTotal()
    async with running(runtime, EngineConfig(SMALL.scheduler, max_queue=2)) as engine:
        with engine.reserve(2, deadline=None) as submit:
            with pytest.raises(QueueFull, match="RECUR_MAX_QUEUE"):
                engine.submit([row([1], runtime)], deadline=None)
            drain = asyncio.create_task(engine.drain(10))
            await asyncio.sleep(0)
            with pytest.raises(Draining), engine.reserve(1, deadline=None):
                pass
            # Each piece may be of more rows than there are sequences.
            for _ in range(3):
                ends = await submit([row([n], runtime) for n in range(5)]).ends()
                assert [end.answer for end in ends if isinstance(end, Finished)] == [*range(5)]
            assert engine.in_flight == 2
            assert not drain.done()
        assert await drain
        assert engine.in_flight == 0


async def test_pieces_are_refused_once_the_engine_is_closed() -> None:
    runtime = RunningTotal()
    async with running(runtime) as engine:
        with pytest.raises(DeadlineExceeded), engine.reserve(1, deadline=time.monotonic() - 1):
            pass
        with engine.reserve(1, deadline=None) as submit:
            await engine.close()
            with pytest.raises(Draining):
                submit([row([1], runtime)])


async def test_closing_answers_whatever_is_left() -> None:
    gate = Gate()
    runtime = RunningTotal(on_step=gate)
    async with running(runtime) as engine:
        collector = engine.submit([row([1] * 100, runtime)], deadline=None)
        await asyncio.to_thread(gate.entered.wait)
        assert not await engine.drain(0.01)
        closing = asyncio.create_task(engine.close())
        await asyncio.sleep(0)
        gate.open()
        await closing
        (error,) = await collector.ends()
        assert isinstance(error, Draining)


async def test_a_slow_reader_gets_everything_merged() -> None:
    collector = Collector(1, on_row_done=lambda _: None)
    for item in range(3):
        collector.put(Arrival(0, item, done=item == 2))
    assert [arrival.item for arrival in await collector.take()] == [0, 1, 2]
    assert await collector.take() == []


async def test_short_single_steps_are_made_on_the_loop_and_longer_rows_on_threads() -> None:
    threads: dict[int, set[str]] = {}

    def note(step: StepInput) -> None:
        threads.setdefault(step.values.shape[1], set()).add(threading.current_thread().name)

    runtime = RunningTotal(on_step=note)
    async with running(runtime, cost=CHEAP_CALLS) as engine:
        assert await total(engine, runtime, [5]) == 5
        two = [row([5, 6], runtime), row([7, 8], runtime)]
        assert len(await engine.submit(two, deadline=None).ends()) == 2
    assert threads == {1: {threading.main_thread().name}, 2: {"engine-0"}}


@pytest.mark.parametrize(("cost", "place"), [(CHEAP_CALLS, "MainThread"), (DEAR_CALLS, "engine-0")])
async def test_a_row_alone_is_made_on_the_loop_if_it_is_short(cost: CostModel, place: str) -> None:
    names: list[str] = []
    runtime = RunningTotal(on_step=lambda _: names.append(threading.current_thread().name))
    async with running(runtime, cost=cost) as engine:
        assert await total(engine, runtime, [5, 6]) == 11
    assert names == [place]


async def test_a_step_that_fails_on_the_loop_leaves_the_loop_and_the_engine_running() -> None:
    def break_on_666(step: StepInput) -> None:
        if (step.values == 666).any():
            raise ValueError("boom")

    runtime = RunningTotal(on_step=break_on_666)
    async with running(runtime, cost=CHEAP_CALLS) as engine:
        (error,) = await engine.submit([row([666], runtime)], deadline=None).ends()
        assert isinstance(error, ModelFailed)
        assert await total(engine, runtime, [7]) == 7


async def test_the_loop_is_free_while_a_step_runs() -> None:
    gate = Gate()
    runtime = RunningTotal(on_step=gate)
    async with running(runtime) as engine:
        collector = engine.submit([row([1], runtime)], deadline=None)
        await asyncio.to_thread(gate.entered.wait)
        # The step hangs in its thread; the loop still turns.
        for _ in range(100):
            await asyncio.sleep(0)
        gate.open()
        await collector.ends()

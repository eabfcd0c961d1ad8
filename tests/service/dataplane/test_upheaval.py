"""Everything at once, with callers who leave, deadlines that pass and steps that break."""

import asyncio
import random
import time
from contextlib import aclosing, suppress
from dataclasses import dataclass, field

import pytest

from service.dataplane.types import DataPlaneLimits, GenerateRequest, OpenRequest, Prediction
from service.errors import DeadlineExceeded, ModelFailed, RecurError
from service.runtime.base import StepInput
from tests.service.dataplane.serving import Serving, call, column, serving, total_of

NUM_SESSIONS = 4
NUM_CALLS = 150


@dataclass
class Ledger:
    """What each session's total must be: the sum of the chunks whose feeding was answered."""

    totals: dict[str, float] = field(default_factory=dict)
    steps: dict[str, int] = field(default_factory=dict)


def breaks_now_and_then(seed: int) -> "Breaks":
    return Breaks(random.Random(seed))


@dataclass
class Breaks:
    rng: random.Random

    def __call__(self, step: StepInput) -> None:
        if self.rng.random() < 0.005:
            raise ModelFailed("broken")


async def feed(it: Serving, rng: random.Random, ledger: Ledger) -> None:
    name = f"session-{rng.randrange(NUM_SESSIONS)}"
    values = [rng.randrange(100) for _ in range(rng.randint(1, 30))]
    deadline = time.monotonic() + 0.02 if rng.random() < 0.2 else None
    reply = (await it.plane.feed(name, column(values), call=call(deadline=deadline))).reply
    # Nothing was awaited since the commit: replies come in the order of the commits.
    ledger.totals[name] += sum(values)
    ledger.steps[name] += len(values)
    assert total_of(reply.prediction) == ledger.totals[name]
    assert reply.step == ledger.steps[name]


async def predict(it: Serving, rng: random.Random, ledger: Ledger) -> None:
    rows = [
        [rng.randrange(100) for _ in range(rng.randint(1, 60))] for _ in range(rng.randint(1, 8))
    ]
    deadline = time.monotonic() + 0.02 if rng.random() < 0.2 else None
    predictions = await it.plane.predict(
        "running-total", [column(row) for row in rows], call=call(deadline=deadline)
    )
    assert len(predictions.results) == len(rows)
    for result, row in zip(predictions.results, rows, strict=True):
        if isinstance(result, Prediction):
            assert total_of(result) == sum(row)
        else:
            assert isinstance(result, ModelFailed | DeadlineExceeded)


async def generate(it: Serving, rng: random.Random, ledger: Ledger) -> None:
    request = GenerateRequest(
        prompt="To be", max_tokens=rng.randint(1, 40), n=rng.randint(1, 3), seed=rng.randrange(9)
    )
    pieces_wanted = rng.choice([1, 5, 1000])
    async with aclosing(it.plane.generate("babble", request, call=call())) as events:
        async for _ in events:
            pieces_wanted -= 1
            if not pieces_wanted:
                break


async def one_call(it: Serving, rng: random.Random, ledger: Ledger) -> None:
    verb = rng.choice([feed, predict, generate])
    with suppress(RecurError):
        await verb(it, rng, ledger)


@pytest.mark.slow
@pytest.mark.parametrize("num_workers", [1, 3])
@pytest.mark.parametrize("seed", range(2))
async def test_nothing_leaks_and_no_session_moves_without_an_answer(
    seed: int, num_workers: int
) -> None:
    rng, ledger = random.Random(seed), Ledger()
    limits = DataPlaneLimits(max_streams=30)
    async with serving(
        on_step=breaks_now_and_then(seed), limits=limits, max_queue=300, num_workers=num_workers
    ) as it:
        for index in range(NUM_SESSIONS):
            name = f"session-{index}"
            request = OpenRequest(session_id=name)
            it.plane.open_session("running-total", request, call=call())
            ledger.totals[name], ledger.steps[name] = 0, 0
        tasks: list[asyncio.Task[None]] = []
        for _ in range(NUM_CALLS):
            task = asyncio.create_task(one_call(it, random.Random(rng.random()), ledger))
            tasks.append(task)
            for _ in range(rng.randrange(4)):
                await asyncio.sleep(0)
            if rng.random() < 0.3:
                rng.choice(tasks).cancel()
        ends = await asyncio.gather(*tasks, return_exceptions=True)
        unexpected = [end for end in ends if isinstance(end, Exception)]
        assert unexpected == []
        await it.idle()
        for info in it.plane.sessions(call=call()):
            assert not info.busy
            assert info.step == ledger.steps[info.session_id]
            assert info.state_norms["total_in"] == ledger.totals[info.session_id]
        # Every stream's slot is free again.
        streams = [
            it.plane.generate("babble", GenerateRequest(max_tokens=1), call=call())
            for _ in range(limits.max_streams)
        ]
        for stream in streams:
            with suppress(ModelFailed):
                await anext(stream)
        await asyncio.gather(*(stream.aclose() for stream in streams))

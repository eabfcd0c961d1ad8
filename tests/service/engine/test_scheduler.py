"""The scheduler alone: no model, no thread, no clock."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.engine.collector import Collector
from service.engine.continuations import Read
from service.engine.cost import CostModel
from service.engine.scheduler import Batch, Scheduler, SchedulerConfig
from service.engine.sequence import Flow, Sequence
from tests.service.fakes import DEAR_CALLS

CONFIG = SchedulerConfig(
    max_rows=4, chunk_steps=8, max_padded_steps=32, lonely_padded_steps=16, patient_steps=24
)
DEAR_ROWS = CostModel(call=1e-6, step=0.0, row=0.0, row_step=1.0)


@dataclass
class GoesOn(Read):
    """As generation does: it has no end in sight."""

    goes_on: ClassVar[bool] = True

    def __init__(self) -> None:
        super().__init__(frozenset())


def sequence(
    steps: int,
    *,
    deadline: float | None = None,
    tenant: str = "",
    weight: float = 1.0,
    goes_on: bool = False,
) -> Sequence:
    return Sequence(
        inputs=np.zeros((steps, 1), np.float32),
        state=(),
        continuation=GoesOn() if goes_on else Read(frozenset()),
        collector=Collector(1, on_row_done=lambda _: None),
        arrived=0.0,
        flow=Flow(tenant, weight),
        deadline=deadline,
    )


def advance(batch: Batch) -> list[Sequence]:
    """As the engine does: move the rows; those that have more to do are to be put back."""
    for row in batch.rows:
        row.advance(min(batch.steps, row.remaining))
    return [row for row in batch.rows if row.remaining]


def next_batch(scheduler: Scheduler) -> Batch:
    batch = scheduler.next_batch(now=0.0)
    assert batch is not None
    return batch


def run_dry(scheduler: Scheduler) -> list[Batch]:
    batches: list[Batch] = []
    while (batch := scheduler.next_batch(now=0.0)) is not None:
        batches.append(batch)
        scheduler.put_back(advance(batch))
    return batches


lengths = st.lists(st.integers(1, 100), min_size=1, max_size=40)
seconds = st.floats(0, 1e-2)
costs = st.builds(CostModel, st.floats(1e-6, 1e-2), seconds, seconds, seconds)


@given(lengths, costs, st.lists(st.sampled_from("abc"), min_size=40, max_size=40))
def test_every_step_of_every_sequence_is_run_once(
    steps: list[int], cost: CostModel, tenants: list[str]
) -> None:
    scheduler = Scheduler(CONFIG, whole=False, cost=cost)
    sequences = [sequence(n, tenant=t) for n, t in zip(steps, tenants, strict=False)]
    for one in sequences:
        scheduler.add(one)
    run_dry(scheduler)
    assert [one.steps_taken for one in sequences] == steps
    assert not scheduler


@given(lengths, costs, st.booleans())
def test_no_batch_exceeds_its_rows_or_its_padded_steps(
    steps: list[int], cost: CostModel, whole: bool
) -> None:
    scheduler = Scheduler(CONFIG, whole=whole, cost=cost)
    for n in steps:
        scheduler.add(sequence(n))
    for batch in run_dry(scheduler):
        assert 1 <= len(batch.rows) <= CONFIG.max_rows
        assert len(set(map(id, batch.rows))) == len(batch.rows)
        # One sequence alone may be longer than the budget: it cannot be cut.
        assert len(batch.rows) * batch.steps <= CONFIG.max_padded_steps or len(batch.rows) == 1


@given(lengths, costs, st.booleans())
def test_work_is_conserved(steps: list[int], cost: CostModel, whole: bool) -> None:
    """While anything waits there is a batch, and each moves every one of its rows."""
    scheduler = Scheduler(CONFIG, whole=whole, cost=cost)
    for n in steps:
        scheduler.add(sequence(n))
    while scheduler:
        batch = next_batch(scheduler)
        before = [row.steps_taken for row in batch.rows]
        scheduler.put_back(advance(batch))
        assert all(r.steps_taken > b for r, b in zip(batch.rows, before, strict=True))


@given(lengths, st.booleans())
def test_where_only_calls_cost_a_batch_is_as_full_as_it_may_be(
    steps: list[int], whole: bool
) -> None:
    scheduler = Scheduler(CONFIG, whole=whole, cost=DEAR_CALLS)
    for n in steps:
        scheduler.add(sequence(n))
    waiting = len(steps)
    batch = next_batch(scheduler)
    if not whole:
        alike = sum(1 for n in steps if (n == 1) == batch.single)
        assert len(batch.rows) == min(waiting, alike, CONFIG.max_rows)
        most = max(CONFIG.chunk_steps, CONFIG.lonely_padded_steps // len(batch.rows))
        assert batch.steps == min(max(row.remaining for row in batch.rows), most)


@given(st.lists(st.integers(2, 100), min_size=1, max_size=40))
def test_where_only_steps_cost_nothing_is_padded(steps: list[int]) -> None:
    scheduler = Scheduler(CONFIG, whole=False, cost=DEAR_ROWS)
    for n in steps:
        scheduler.add(sequence(n))
    while (batch := scheduler.next_batch(now=0.0)) is not None:
        assert all(row.remaining >= batch.steps for row in batch.rows)
        scheduler.put_back(advance(batch))


@given(lengths, costs)
def test_a_sequence_that_cannot_be_cut_is_run_whole(steps: list[int], cost: CostModel) -> None:
    scheduler = Scheduler(CONFIG, whole=True, cost=cost)
    sequences = [sequence(n) for n in steps]
    for one in sequences:
        scheduler.add(one)
    for batch in run_dry(scheduler):
        assert all(row.position == len(row.inputs) <= batch.steps for row in batch.rows)
    assert all(not one.remaining for one in sequences)


@given(lengths, costs)
def test_the_first_in_line_is_in_the_next_batch_of_its_kind(
    steps: list[int], cost: CostModel
) -> None:
    scheduler = Scheduler(CONFIG, whole=True, cost=cost)
    sequences = [sequence(n) for n in steps]
    for one in sequences:
        scheduler.add(one)
    while (batch := scheduler.next_batch(now=0.0)) is not None:
        first = next(s for s in sequences if s.remaining and s.single == batch.single)
        assert first in batch.rows
        scheduler.put_back(advance(batch))


@given(st.lists(st.integers(2, 30), min_size=1, max_size=30), st.integers(200, 2000), costs)
def test_a_giant_sequence_does_not_starve_the_short_ones(
    short: list[int], giant_steps: int, cost: CostModel
) -> None:
    scheduler = Scheduler(CONFIG, whole=False, cost=cost)
    giants = [sequence(giant_steps) for _ in range(CONFIG.max_rows)]
    others = [sequence(n) for n in short]
    for one in (*giants, *others):
        scheduler.add(one)
    given_to_giants = 0
    while any(one.remaining for one in others):
        batch = next_batch(scheduler)
        before = sum(giant.steps_taken for giant in giants)
        scheduler.put_back(advance(batch))
        given_to_giants += sum(giant.steps_taken for giant in giants) - before
    # Each had its patience and one chunk more; from then on they had one turn for each of others'.
    turns = sum(short) + len(giants)
    allowed = len(giants) * (CONFIG.patient_steps + CONFIG.max_padded_steps)
    assert given_to_giants <= allowed + turns * CONFIG.max_padded_steps


ONE_ROW = SchedulerConfig(max_rows=1, chunk_steps=4, max_padded_steps=4, lonely_padded_steps=4)


@given(st.integers(1, 60), st.lists(st.integers(2, 60), min_size=1, max_size=20))
def test_a_light_tenant_gets_its_share_beside_a_heavy_one(heavy: int, light: list[int]) -> None:
    scheduler = Scheduler(ONE_ROW, whole=False)
    for _ in range(heavy):
        scheduler.add(sequence(2000, tenant="heavy"))
    for _ in range(20):  # the heavy tenant has had the machine to itself for a while
        scheduler.put_back(advance(next_batch(scheduler)))
    mine = [sequence(steps, tenant="light") for steps in light]
    for one in mine:
        scheduler.add(one)
    taken = {"heavy": 0, "light": 0}
    while any(one.remaining for one in mine):
        batch = next_batch(scheduler)
        taken[batch.rows[0].flow.tenant] += batch.steps
        scheduler.put_back(advance(batch))
        # At any moment, and not only in the end, they are at most a turn or two apart.
        assert abs(taken["heavy"] - taken["light"]) <= 2 * ONE_ROW.chunk_steps


def test_weights_share_what_two_tenants_both_want() -> None:
    scheduler = Scheduler(ONE_ROW, whole=False)
    for _ in range(300):
        scheduler.add(sequence(8, tenant="heavy", weight=3.0))
        scheduler.add(sequence(8, tenant="light", weight=1.0))
    taken = {"heavy": 0, "light": 0}
    for _ in range(200):
        batch = next_batch(scheduler)
        taken[batch.rows[0].flow.tenant] += batch.steps
        scheduler.put_back(advance(batch))
    assert taken["heavy"] == pytest.approx(3 * taken["light"], rel=0.05)


def test_idling_saves_nothing_up() -> None:
    scheduler = Scheduler(ONE_ROW, whole=False)
    scheduler.add(sequence(4, tenant="sleeper"))
    for _ in range(100):
        scheduler.add(sequence(4, tenant="worker"))
    for _ in range(60):
        scheduler.put_back(advance(next_batch(scheduler)))
    for _ in range(40):
        scheduler.add(sequence(4, tenant="sleeper"))
    owners = [next_batch(scheduler).rows[0].flow.tenant for _ in range(20)]
    assert owners.count("sleeper") == pytest.approx(10, abs=1)


def test_single_steps_and_longer_rows_take_turns_and_share_no_call() -> None:
    scheduler = Scheduler(CONFIG, whole=False)
    for _ in range(12):
        scheduler.add(sequence(8))
        scheduler.add(sequence(1))
    kinds = [batch.single for batch in run_dry(scheduler)]
    assert kinds[:6] == [True, False] * 3


def test_rows_without_an_end_take_turns() -> None:
    scheduler = Scheduler(CONFIG, whole=False)
    streams = [sequence(1, goes_on=True) for _ in range(6)]
    for one in streams:
        scheduler.add(one)
    turns: list[Sequence] = []
    for _ in range(3):
        batch = next_batch(scheduler)
        turns += batch.rows
        scheduler.put_back(batch.rows)
    assert turns == streams * 2


def test_a_row_keeps_its_place_until_it_is_done() -> None:
    scheduler = Scheduler(CONFIG, whole=False, cost=DEAR_CALLS)
    first = [sequence(20) for _ in range(CONFIG.max_rows)]
    for one in (*first, sequence(8), sequence(8)):
        scheduler.add(one)
    for _ in range(3):
        batch = next_batch(scheduler)
        assert batch.rows == first
        scheduler.put_back(advance(batch))
    assert not any(one.remaining for one in first)


def test_newcomers_join_between_two_steps() -> None:
    scheduler = Scheduler(CONFIG, whole=False)
    early = sequence(24)
    scheduler.add(early)
    first = next_batch(scheduler)
    scheduler.put_back(advance(Batch(first.rows, 8)))
    late = sequence(16)
    scheduler.add(late)
    assert set(next_batch(scheduler).rows) == {early, late}


def test_a_lonely_sequence_takes_longer_chunks() -> None:
    scheduler = Scheduler(CONFIG, whole=False)
    scheduler.add(sequence(100))
    assert next_batch(scheduler).steps == CONFIG.lonely_padded_steps


def test_expired_work_is_reported_once_and_never_run() -> None:
    scheduler = Scheduler(CONFIG, whole=False)
    late, fine = sequence(3, deadline=1.0), sequence(3, deadline=9.0)
    scheduler.add(late)
    scheduler.add(fine)
    assert scheduler.expire(now=2.0) == [late]
    assert scheduler.expire(now=2.0) == []
    batch = scheduler.next_batch(now=2.0)
    assert batch is not None
    assert batch.rows == [fine]


def test_a_sequence_expires_between_its_chunks() -> None:
    scheduler = Scheduler(CONFIG, whole=False)
    one = sequence(100, deadline=5.0)
    scheduler.add(one)
    batch = scheduler.next_batch(now=1.0)
    assert batch is not None
    scheduler.put_back(advance(batch))
    assert scheduler.expire(now=6.0) == [one]
    assert scheduler.next_batch(now=6.0) is None


def test_answered_sequences_do_not_pile_up_until_their_deadlines() -> None:
    scheduler = Scheduler(CONFIG, whole=False)
    for _ in range(10_000):
        one = sequence(1, deadline=1e9)
        scheduler.add(one)
        next_batch(scheduler)
        one.answered = True
    assert scheduler.num_deadlines <= 1024


def test_a_dropped_sequence_is_not_run() -> None:
    scheduler = Scheduler(CONFIG, whole=False)
    gone, there = sequence(3), sequence(3)
    scheduler.add(gone)
    scheduler.add(there)
    gone.collector.close()
    assert next_batch(scheduler).rows == [there]


def test_an_empty_sequence_is_our_own_mistake() -> None:
    with pytest.raises(AssertionError):
        Scheduler(CONFIG, whole=False).add(sequence(0))

"""The scheduler alone: no model, no thread, no clock."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.engine.collector import Collector
from service.engine.continuations import Read
from service.engine.scheduler import Batch, Scheduler, SchedulerConfig
from service.engine.sequence import Sequence

CONFIG = SchedulerConfig(max_rows=4, chunk_steps=8, max_padded_steps=32, lonely_padded_steps=16)


def sequence(steps: int, *, deadline: float | None = None) -> Sequence:
    return Sequence(
        inputs=np.zeros((steps, 1), np.float32),
        state=(),
        continuation=Read(frozenset()),
        collector=Collector(1, on_row_done=lambda _: None),
        arrived=0.0,
        deadline=deadline,
    )


def advance(batch: Batch) -> Batch:
    """As the engine does: move the rows, and give back those that have more to do."""
    for row in batch.rows:
        row.position = min(row.position + batch.steps, len(row.inputs))
    return Batch([row for row in batch.rows if row.remaining], batch.steps)


def run_dry(scheduler: Scheduler) -> list[Batch]:
    batches: list[Batch] = []
    while (batch := scheduler.next_batch(now=0.0)) is not None:
        batches.append(Batch(list(batch.rows), batch.steps))
        scheduler.put_back(advance(batch))
    return batches


lengths = st.lists(st.integers(1, 100), min_size=1, max_size=40)


@given(lengths)
def test_every_step_of_every_sequence_is_run_once(steps: list[int]) -> None:
    scheduler = Scheduler(CONFIG, whole=False)
    sequences = [sequence(n) for n in steps]
    for one in sequences:
        scheduler.add(one)
    run_dry(scheduler)
    assert all(one.remaining == 0 for one in sequences)
    assert not scheduler


@given(lengths, st.booleans())
def test_no_batch_exceeds_its_rows_or_its_padded_steps(steps: list[int], whole: bool) -> None:
    scheduler = Scheduler(CONFIG, whole=whole)
    for n in steps:
        scheduler.add(sequence(n))
    for batch in run_dry(scheduler):
        assert 1 <= len(batch.rows) <= CONFIG.max_rows
        # One sequence alone may be longer than the budget: it cannot be cut.
        assert len(batch.rows) * batch.steps <= CONFIG.max_padded_steps or len(batch.rows) == 1


@given(lengths, st.booleans())
def test_padding_stays_under_half(steps: list[int], whole: bool) -> None:
    scheduler = Scheduler(CONFIG, whole=whole)
    for n in steps:
        scheduler.add(sequence(n))
    while (batch := scheduler.next_batch(now=0.0)) is not None:
        useful = sum(min(row.remaining, batch.steps) for row in batch.rows)
        assert useful * 2 > len(batch.rows) * batch.steps
        scheduler.put_back(advance(batch))


@given(lengths)
def test_a_sequence_that_cannot_be_cut_is_run_whole(steps: list[int]) -> None:
    scheduler = Scheduler(CONFIG, whole=True)
    for n in steps:
        scheduler.add(sequence(n))
    for batch in run_dry(scheduler):
        assert all(row.position == len(row.inputs) <= batch.steps for row in batch.rows)


@given(st.lists(st.integers(1, 30), min_size=1, max_size=30), st.integers(31, 2000))
def test_a_long_sequence_does_not_starve_the_short_ones(short: list[int], long: int) -> None:
    scheduler = Scheduler(CONFIG, whole=False)
    giant = sequence(long)
    scheduler.add(giant)
    others = [sequence(n) for n in short]
    for one in others:
        scheduler.add(one)
    turns_of_giant = 0
    while any(one.remaining for one in others):
        batch = scheduler.next_batch(now=0.0)
        assert batch is not None
        turns_of_giant += giant in batch.rows
        scheduler.put_back(advance(batch))
    # Between two of its turns, everything that waited before it had one.
    assert turns_of_giant <= sum(-(-n // CONFIG.chunk_steps) for n in short) + 1


def test_newcomers_join_between_two_steps() -> None:
    scheduler = Scheduler(CONFIG, whole=False)
    early = sequence(24)
    scheduler.add(early)
    first = scheduler.next_batch(now=0.0)
    assert first is not None
    scheduler.put_back(advance(Batch(first.rows, 8)))
    late = sequence(16)
    scheduler.add(late)
    second = scheduler.next_batch(now=0.0)
    assert second is not None
    assert set(second.rows) == {early, late}


def test_a_lonely_sequence_takes_longer_chunks() -> None:
    scheduler = Scheduler(CONFIG, whole=False)
    scheduler.add(sequence(100))
    batch = scheduler.next_batch(now=0.0)
    assert batch is not None
    assert batch.steps == CONFIG.lonely_padded_steps


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


def test_a_dropped_sequence_is_not_run() -> None:
    scheduler = Scheduler(CONFIG, whole=False)
    gone, there = sequence(3), sequence(3)
    scheduler.add(gone)
    scheduler.add(there)
    gone.collector.close()
    batch = scheduler.next_batch(now=0.0)
    assert batch is not None
    assert batch.rows == [there]


def test_an_empty_sequence_is_our_own_mistake() -> None:
    with pytest.raises(AssertionError):
        Scheduler(CONFIG, whole=False).add(sequence(0))

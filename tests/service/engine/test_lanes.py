"""Models that share a worker: the one that was given least goes next, and idling saves nothing."""

from collections.abc import Callable

import numpy as np
from prometheus_client import CollectorRegistry

from service.engine.arena import Arena
from service.engine.collector import Collector
from service.engine.continuations import Read
from service.engine.lanes import Delivery, Lane, Turns
from service.engine.observer import Observer
from service.engine.scheduler import Scheduler, SchedulerConfig
from service.engine.sequence import Sequence
from service.errors import Draining
from service.runtime.base import StepInput
from service.telemetry.metrics import Metrics
from tests.service.fakes import RunningTotal

ONE_A_TURN = SchedulerConfig(
    max_rows=1, chunk_steps=1, max_padded_steps=1, lonely_padded_steps=1, patient_steps=10_000
)


def lane(
    name: str,
    *,
    given: list[tuple[str, Delivery]],
    on_step: Callable[[StepInput], None] = lambda _: None,
) -> Lane:
    runtime = RunningTotal(on_step=on_step)
    return Lane(
        name,
        runtime,
        Scheduler(ONE_A_TURN, whole=False),
        Arena(runtime.initial_state(), runtime.batch_axes),
        Observer(Metrics(CollectorRegistry()), name, writer=0),
        lambda deliveries: given.extend((name, delivery) for delivery in deliveries),
    )


def sequences(count: int) -> list[Sequence]:
    runtime = RunningTotal()
    return [
        Sequence(
            np.ones((2, 1), np.float32),
            runtime.initial_state(),
            Read(runtime.per_step),
            Collector(1, on_row_done=lambda _: None),
            arrived=0.0,
        )
        for _ in range(count)
    ]


def test_the_model_that_was_given_least_goes_next() -> None:
    given: list[tuple[str, Delivery]] = []
    turns, busy, modest = Turns(), lane("busy", given=given), lane("modest", given=given)
    turns.add(busy, sequences(50))
    turns.take()
    turns.add(modest, sequences(3))
    busy.seconds += 1000.0  # a heavy model: each of its calls takes long
    while modest.scheduler:
        turns.take()
    turns.hand_over()
    assert [name for name, _ in given] == ["modest"] * 3


def test_a_model_that_was_idle_is_not_owed_the_time() -> None:
    given: list[tuple[str, Delivery]] = []
    turns, busy, late = Turns(), lane("busy", given=given), lane("late", given=given)
    turns.add(busy, sequences(50))
    busy.seconds += 1000.0
    turns.take()
    turns.add(late, sequences(50))
    assert late.seconds >= 1000.0


def test_what_a_call_gave_is_handed_over_when_the_next_one_begins() -> None:
    given: list[tuple[str, Delivery]] = []
    seen: list[int] = []
    turns, only = Turns(), lane("only", given=given, on_step=lambda _: seen.append(len(given)))
    turns.add(only, sequences(3))
    while turns:
        turns.take()
    assert seen == [0, 0, 1, 1, 2, 2]  # each row takes two
    turns.hand_over()
    assert len(given) == 3


def test_a_model_without_rows_is_not_looked_at() -> None:
    turns, alone = Turns(), lane("alone", given=[])
    turns.add(alone, sequences(1))
    while turns:
        turns.take()
    assert not turns
    assert alone.arena.num_slots <= 64


def test_what_waits_when_its_model_ends_is_answered_and_others_go_on() -> None:
    given: list[tuple[str, Delivery]] = []
    turns, ending, staying = Turns(), lane("ending", given=given), lane("staying", given=given)
    turns.add(ending, sequences(3))
    turns.add(staying, sequences(2))
    turns.clear(ending)
    assert [name for name, _ in given] == ["ending"] * 3
    assert all(isinstance(delivery.arrival.error, Draining) for _, delivery in given)
    while turns:
        turns.take()
    turns.hand_over()
    assert [name for name, _ in given[3:]] == ["staying"] * 2
    assert all(delivery.arrival.error is None for _, delivery in given[3:])

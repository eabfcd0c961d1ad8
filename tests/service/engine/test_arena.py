"""The arena: whatever the membership of the batches, each row finds the state that it left."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from service.engine.arena import Arena
from service.engine.collector import Collector
from service.engine.continuations import Read
from service.engine.sequence import Sequence
from service.runtime.base import State, host_state

AXES = (1, 0)
ZERO: State = (np.zeros((2, 3), np.float32), np.zeros((4,), np.float32))


def row(number: int) -> Sequence:
    state = tuple(array + np.float32(number * 1000) for array in ZERO)
    collector = Collector(1, on_row_done=lambda _: None)
    return Sequence(np.zeros((9, 1)), state, Read(frozenset()), collector, arrived=0.0)


def moved(state: State) -> State:
    """What a call makes of a batch: each row one more."""
    return tuple(array + np.float32(1) for array in state)


def values(state: State) -> list[float]:
    """Each row's number, which all of its tensors must agree on."""
    rows = [np.moveaxis(array, axis, 0) for array, axis in zip(state, AXES, strict=True)]
    numbers = [
        {float(x) for array in row for x in array.ravel()} for row in zip(*rows, strict=True)
    ]
    assert all(len(row) == 1 for row in numbers)
    return [row.pop() for row in numbers]


@given(st.lists(st.lists(st.integers(0, 9), min_size=1, max_size=6, unique=True), max_size=30))
def test_each_row_goes_on_from_the_state_that_it_left(batches: list[list[int]]) -> None:
    arena = Arena(ZERO, AXES)
    rows = [row(number) for number in range(10)]
    steps = [0] * 10
    for members in batches:
        batch = [rows[number] for number in members]
        state = host_state(arena.load(batch))
        assert values(state) == [1000.0 * n + steps[n] for n in members]
        arena.keep(batch, moved(state))
        for number in members:
            steps[number] += 1


def test_a_batch_that_steps_again_is_not_copied() -> None:
    arena = Arena(ZERO, AXES)
    rows = [row(number) for number in range(3)]
    after = moved(host_state(arena.load(rows)))
    arena.keep(rows, after)
    assert arena.load(list(rows)) is after


def test_slots_are_used_again() -> None:
    arena = Arena(ZERO, AXES)
    for _ in range(50):
        rows = [row(number) for number in range(8)]
        arena.keep(rows, moved(host_state(arena.load(rows))))
        arena.keep(rows[:4], moved(host_state(arena.load(rows[:4]))))
        for one in rows:
            one.answered = True
            arena.release(one)
    assert arena.num_slots == 64


def test_the_slots_of_callers_who_left_are_found() -> None:
    arena = Arena(ZERO, AXES)
    for _ in range(50):
        rows = [row(number) for number in range(8)]
        arena.keep(rows, moved(host_state(arena.load(rows))))
        arena.keep(rows[:4], moved(host_state(arena.load(rows[:4]))))
        for one in rows:
            one.collector.close()
    assert arena.num_slots <= 128


def test_more_rows_than_slots_make_room() -> None:
    arena = Arena(ZERO, AXES)
    rows = [row(number) for number in range(200)]
    arena.keep(rows, moved(host_state(arena.load(rows))))
    for one in rows:
        arena.keep([one], moved(host_state(arena.load([one]))))
    assert values(host_state(arena.load(rows))) == [1000.0 * n + 2 for n in range(200)]
    arena.forget()
    assert arena.num_slots == 0


def test_a_model_without_state_keeps_none() -> None:
    arena = Arena((), ())
    rows = [row(1)]
    assert arena.load(rows) == ()
    arena.keep(rows, ())
    assert arena.num_slots == 0

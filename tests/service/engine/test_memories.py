"""What rows look back at stands side by side, padded so that no sum depends on the padding."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from service.engine.collector import Collector
from service.engine.continuations import Read
from service.engine.memories import Memories
from service.engine.sequence import Sequence
from service.runtime.base import Memory


def row(memory: np.ndarray | None) -> Sequence:
    reader, collector = Read(frozenset()), Collector(1, on_row_done=lambda _: None)
    return Sequence(np.zeros(1), (), reader, collector, arrived=0.0, memory=memory)


def memory(steps: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(steps, 3)).astype(np.float32)


def made(memories: Memories, rows: list[Sequence]) -> Memory:
    batch = memories.of(rows)
    assert batch is not None
    return batch


@given(st.lists(st.integers(1, 70), min_size=1, max_size=9))
def test_each_row_has_its_own_and_zeros_behind_it(lengths: list[int]) -> None:
    parts = [memory(steps, seed) for seed, steps in enumerate(lengths)]
    batch = made(Memories(), [row(part) for part in parts])
    assert batch.lengths.tolist() == lengths
    assert batch.values.shape[1] % 16 == 0
    assert max(lengths) <= batch.values.shape[1] < max(lengths) + 16
    for seen, part in zip(batch.values, parts, strict=True):
        np.testing.assert_array_equal(seen[: len(part)], part)
        assert not seen[len(part) :].any()


def test_rows_that_look_at_the_same_share_what_was_put_together() -> None:
    memories, one, other = Memories(), memory(4, 1), memory(5, 2)
    first = made(memories, [row(one), row(other)])
    # The next hypotheses of the same beams are other rows.
    assert made(memories, [row(one), row(other)]) is first
    assert made(memories, [row(other), row(one)]) is not first
    assert made(memories, [row(other)]).lengths.tolist() == [5]


def test_equal_numbers_of_another_row_are_its_own() -> None:
    memories = Memories()
    first = made(memories, [row(memory(4))])
    assert made(memories, [row(memory(4))]) is not first


def test_nothing_is_kept_when_nothing_is_under_way() -> None:
    memories, one = Memories(), memory(4)
    first = made(memories, [row(one)])
    memories.forget()
    assert made(memories, [row(one)]) is not first


def test_rows_of_other_models_look_back_at_nothing() -> None:
    assert Memories().of([row(None), row(None)]) is None

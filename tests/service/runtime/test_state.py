"""Rows of state to a batch and back: inverse operations, and copies that are copies."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from service.runtime.base import State
from service.runtime.state import is_finite, nbytes, own, stack, unstack

shapes = st.lists(st.lists(st.integers(1, 4), min_size=1, max_size=3).map(tuple), max_size=3)


@st.composite
def batches(draw: st.DrawFn) -> tuple[list[State], tuple[int, ...]]:
    """Rows of state, and an axis for each of their arrays."""
    kinds = draw(shapes.filter(bool))
    axes = tuple(draw(st.integers(0, len(shape))) for shape in kinds)
    rng = np.random.default_rng(draw(st.integers(0, 1000)))
    rows = [
        tuple(rng.normal(size=shape).astype(np.float32) for shape in kinds)
        for _ in range(draw(st.integers(1, 5)))
    ]
    return rows, axes


@given(batches())
def test_unstacking_undoes_stacking(batch: tuple[list[State], tuple[int, ...]]) -> None:
    rows, axes = batch
    stacked = stack(rows, axes)
    assert [array.shape[axis] for array, axis in zip(stacked, axes, strict=True)] == [
        len(rows)
    ] * len(axes)
    for seen, expected in zip(unstack(stacked, axes), rows, strict=True):
        for one, other in zip(seen, expected, strict=True):
            np.testing.assert_array_equal(one, other)


@given(batches())
def test_an_owned_row_shares_no_memory_with_its_batch(
    batch: tuple[list[State], tuple[int, ...]],
) -> None:
    rows, axes = batch
    stacked = stack(rows, axes)
    kept = own(unstack(stacked, axes)[0])
    for array in stacked:
        array.fill(np.nan)
    assert is_finite(kept)
    for one, other in zip(kept, rows[0], strict=True):
        np.testing.assert_array_equal(one, other)
        assert one.base is None


def test_one_number_that_is_not_finite_shows() -> None:
    good, bad = np.zeros(3, np.float32), np.array([0, np.inf], np.float32)
    assert is_finite((good, good))
    assert not is_finite((good, bad))
    assert is_finite(())


def test_bytes_are_those_of_all_arrays() -> None:
    assert nbytes((np.zeros((2, 3), np.float32), np.zeros(1, np.float32))) == 28

"""Rows of state to a batch of state, and back."""

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from service.runtime.base import State


def stack(rows: Sequence[State], batch_axes: tuple[int, ...]) -> State:
    """One batch from the states of its rows, array by array, each on its own batch axis."""
    return tuple(
        np.stack([row[index] for row in rows], axis=axis) for index, axis in enumerate(batch_axes)
    )


def unstack(batch: State, batch_axes: tuple[int, ...]) -> list[State]:
    """The rows of a batch, as views: `own` them before they outlive the batch."""
    moved = [np.moveaxis(array, axis, 0) for array, axis in zip(batch, batch_axes, strict=True)]
    return list(zip(*moved, strict=True))


def row_of(batch: State, index: int, batch_axes: tuple[int, ...]) -> State:
    """One row of a batch, as views: `own` it before it outlives the batch."""
    return tuple(
        array[(slice(None),) * axis + (index,)]
        for array, axis in zip(batch, batch_axes, strict=True)
    )


def own(row: State) -> State:
    """A copy that does not keep its whole batch alive."""
    return tuple([array.copy() for array in row])


def is_finite(arrays: Iterable[NDArray[np.float32]]) -> bool:
    """Of a state, a row's or a batch's, or of outputs."""
    return all(bool(np.isfinite(array).all()) for array in arrays)


def nbytes(row: State) -> int:
    return sum(array.nbytes for array in row)

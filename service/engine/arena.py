"""Where the states of rows under way lie between two calls: in a slab, or in the batch they left.

A batch whose rows step again together keeps its state as the runtime gave it, on whatever device
that is: nothing is copied. When its membership changes, the rows that go on are scattered into the
slab, one slot each, and the next batch is gathered from there.
"""

import numpy as np
from numpy.typing import NDArray

from service.engine.memories import Memories
from service.engine.sequence import Sequence
from service.runtime.base import BatchState, State, host_state
from service.runtime.state import stack

_FIRST_SLOTS = 64
_NOWHERE = 0
"""A slot that no row owns."""


class Arena:
    """Of one model's rows on one worker's thread."""

    def __init__(self, zero: State, batch_axes: tuple[int, ...]) -> None:
        """`zero` is the state of one row."""
        self._axes = batch_axes
        self._zero = zero
        self._slab = self._slots(0)
        self._owners: list[Sequence | None] = []
        self._free: list[int] = []
        self._kept_rows: list[Sequence] = []
        self._kept: BatchState = ()
        self.memories = Memories()

    @property
    def num_slots(self) -> int:
        return len(self._owners)

    def load(self, rows: list[Sequence]) -> BatchState:
        """The state of a batch of `rows`, in their order."""
        if not self._axes:
            return ()
        if rows == self._kept_rows:  # by identity
            return self._kept
        self._scatter_kept()
        fresh = [row.state for row in rows if row.state is not None]
        if len(fresh) == len(rows):
            return stack(fresh, self._axes)
        slots = np.array([row.slot for row in rows])
        batch = tuple(
            np.take(slab, slots, axis=axis)
            for slab, axis in zip(self._slab, self._axes, strict=True)
        )
        if fresh:
            for place, row in enumerate(rows):
                if row.state is not None:
                    _write(row.state, batch, place=place, axes=self._axes)
        return batch

    def keep(self, rows: list[Sequence], state: BatchState) -> None:
        """What a call made of the state that `load` gave for the same rows."""
        if self._axes:
            self._kept_rows, self._kept = rows, state
            for row in rows:
                row.state = None

    def release(self, row: Sequence) -> None:
        """The row is answered: its slot is free."""
        if row.slot >= 0:
            self._owners[row.slot] = None
            self._free.append(row.slot)
            row.slot = -1

    def forget(self) -> None:
        """Nothing is under way: let go of all memory but the first slots."""
        self._kept_rows, self._kept = [], ()
        self.memories.forget()
        if len(self._owners) > _FIRST_SLOTS:
            self._slab = self._slots(0)
            self._owners, self._free = [], []

    def _scatter_kept(self) -> None:
        """In one piece for each tensor: rows that nobody waits for go where nothing is read.

        NumPy lets other threads run in each of its larger operations, and the way back may be
        long: few operations are worth more here than few bytes.
        """
        if any(not row.dropped for row in self._kept_rows):
            slots = [_NOWHERE if row.dropped else self._slot(row) for row in self._kept_rows]
            kept = host_state(self._kept)
            for slab, array, axis in zip(self._slab, kept, self._axes, strict=True):
                slab[_at(slots, axis)] = array
        self._kept_rows, self._kept = [], ()

    def _slot(self, row: Sequence) -> int:
        if row.slot < 0:
            if not self._free:
                self._make_room()
            row.slot = self._free.pop()
            self._owners[row.slot] = row
        return row.slot

    def _make_room(self) -> None:
        """From rows whose callers left, which nobody announces; else by doubling."""
        for owner in self._owners:
            if owner is not None and owner.dropped:
                self.release(owner)
        count = len(self._owners)
        if len(self._free) * 4 < max(count, 1):
            more = max(count, _FIRST_SLOTS)
            self._slab = [
                np.concatenate([slab, new], axis=axis)
                for slab, new, axis in zip(self._slab, self._slots(more), self._axes, strict=True)
            ]
            self._owners.extend([None] * more)
            self._free.extend(range(max(count, _NOWHERE + 1), count + more))

    def _slots(self, count: int) -> list[NDArray[np.float32]]:
        """Room for `count` rows, an array for each tensor, the rows on its batch axis."""
        shapes = [
            (*array.shape[:axis], count, *array.shape[axis:])
            for array, axis in zip(self._zero, self._axes, strict=True)
        ]
        return [np.zeros(shape, np.float32) for shape in shapes]


def _write(row: State, batch: State, *, place: int, axes: tuple[int, ...]) -> None:
    for part, array, axis in zip(row, batch, axes, strict=True):
        array[_at(place, axis)] = part


def _at(rows: int | list[int], axis: int) -> tuple[slice | int | list[int], ...]:
    """The index of some rows of an array with its rows on `axis`."""
    return (*(slice(None),) * axis, rows)

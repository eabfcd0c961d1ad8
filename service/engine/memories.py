"""What a decoder's rows look back at, side by side: put together anew only for other rows."""

from operator import is_

import numpy as np
from numpy.typing import NDArray

from service.engine.sequence import Sequence
from service.runtime.base import Memory

_MULTIPLE = 16
"""Of source steps. ONNX Runtime sums so many numbers side by side: as long as a sum ends where
they do, what is added is the same for every length of the padding, and so are all the bits."""


class Memories:
    """Of one model's rows on one worker's thread."""

    def __init__(self) -> None:
        self._rows: list[NDArray[np.float32] | None] = []
        self._batch: Memory | None = None

    def of(self, rows: list[Sequence]) -> Memory | None:
        """In the order of `rows`; None where they look back at nothing."""
        if rows[0].memory is None:
            return None
        parts = [row.memory for row in rows]
        if len(parts) != len(self._rows) or not all(map(is_, parts, self._rows)):
            self._rows, self._batch = [*parts], _side_by_side([p for p in parts if p is not None])
        return self._batch

    def forget(self) -> None:
        self._rows, self._batch = [], None


def _side_by_side(parts: list[NDArray[np.float32]]) -> Memory:
    """Zero behind each part's end."""
    lengths = np.array([len(part) for part in parts], np.int32)
    steps = -(-int(lengths.max()) // _MULTIPLE) * _MULTIPLE
    values = np.zeros((len(parts), steps, parts[0].shape[1]), np.float32)
    for row, part in zip(values, parts, strict=True):
        row[: len(part)] = part
    return Memory(values, lengths)

"""How large the raw outputs of one request may be: known from its steps, before any is computed."""

import math
from collections.abc import Iterable

from service.artifact.graphs import TensorSpec
from service.errors import TooLarge

_BYTES_PER_NUMBER = 4


class RawRoom:
    """Of one request. What is taken is not given back, whatever becomes of the sequence."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._taken = 0

    def take(
        self, outputs: Iterable[TensorSpec], steps: int, *, param: str, source_steps: int = 1
    ) -> None:
        """Room for `outputs` of a sequence; a decoder's may tell of each of `source_steps`.

        Raises TooLarge, which names `param`.
        """
        size = raw_bytes(outputs, steps, source_steps=source_steps)
        if self._taken + size > self._max_bytes:
            raise TooLarge(
                f"{param}: the raw outputs up to here are {self._taken + size} bytes as float32; "
                f"RECUR_MAX_RAW_BYTES allows {self._max_bytes}",
                param=param,
                details={"limit": self._max_bytes},
            )
        self._taken += size


def raw_bytes(outputs: Iterable[TensorSpec], steps: int, *, source_steps: int = 1) -> int:
    """Of `outputs` of one sequence, at every step where they have a time axis."""
    sizes = {"batch": 1, "time": steps, "source_time": source_steps}
    return _BYTES_PER_NUMBER * sum(
        math.prod(sizes[d] if isinstance(d, str) else d for d in output.shape) for output in outputs
    )

"""How large the raw outputs of one request may be: known from its steps, before any is computed."""

import math

from service.artifact.graphs import GraphSpec, TensorSpec
from service.errors import TooLarge

_BYTES_PER_NUMBER = 4


class RawRoom:
    """Of one request. What is taken is not given back, whatever becomes of the sequence."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._taken = 0

    def take(self, graph: GraphSpec, steps: int, *, param: str) -> None:
        """Room for the outputs of a sequence. Raises TooLarge, which names `param`."""
        size = raw_bytes(graph, steps)
        if self._taken + size > self._max_bytes:
            raise TooLarge(
                f"{param}: the raw outputs up to here are {self._taken + size} bytes as float32; "
                f"RECUR_MAX_RAW_BYTES allows {self._max_bytes}",
                param=param,
                details={"limit": self._max_bytes},
            )
        self._taken += size


def raw_bytes(graph: GraphSpec, steps: int) -> int:
    """Of all outputs of one sequence, at every step where they have a time axis."""
    return _BYTES_PER_NUMBER * sum(_numbers(output, steps) for output in graph.outputs)


def _numbers(output: TensorSpec, steps: int) -> int:
    width = math.prod(size for size in output.shape if isinstance(size, int))
    return steps * width if output.per_step else width

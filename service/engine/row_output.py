"""What one call of the runtime gave a batch, and each row's share of it, cut out when asked for."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from service.runtime.base import State, host_state
from service.runtime.base import StepOutput as Given
from service.runtime.state import row_of


@dataclass(frozen=True, slots=True)
class BatchOutput:
    """Of a whole batch. Its arrays are never written to again."""

    given: Given
    lengths: NDArray[np.int32]
    """`[batch]`: the steps that each row took."""
    per_step: frozenset[str]
    """The outputs that have a time axis."""
    batch_axes: tuple[int, ...]
    """Of the state's arrays."""


class RowOutput(NamedTuple):
    """Row `place` of a batch. What it gives are views of the batch: copy what you keep."""

    batch: BatchOutput
    place: int
    exhausted: bool
    """Whether the row has now consumed all its inputs."""

    @property
    def outputs(self) -> dict[str, NDArray[np.float32]]:
        """`[steps, ...]` for outputs with a time axis, `[...]` for the others; no padding."""
        batch, place = self.batch, self.place
        steps = int(batch.lengths[place])
        return {
            name: array[place, :steps] if name in batch.per_step else array[place]
            for name, array in batch.given.outputs.items()
        }

    @property
    def state(self) -> State:
        return row_of(host_state(self.batch.given.state), self.place, self.batch.batch_axes)

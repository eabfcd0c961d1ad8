"""What one call of the runtime gave a batch, and each row's share of it, cut out when asked for.

What all rows need is worked out once for the batch: an operation on an array of many rows costs
hardly more than one on a single row.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from service.runtime.base import State, host_state
from service.runtime.base import StepOutput as Given
from service.runtime.state import is_finite


@dataclass(frozen=True, eq=False)
class BatchOutput:
    """Of a whole batch. Its arrays are never written to again."""

    given: Given
    lengths: NDArray[np.int32]
    """`[batch]`: the steps that each row took."""
    per_step: frozenset[str]
    """The outputs that have a time axis."""
    batch_axes: tuple[int, ...]
    """Of the state's arrays."""
    _made: dict[object, NDArray[Any]] = field(default_factory=dict[object, NDArray[Any]])

    def last(self, name: str) -> NDArray[np.float32]:
        """An output at each row's last step, `[batch, ...]`."""
        array = self.given.outputs[name]
        return array[np.arange(len(array)), self.lengths - 1] if name in self.per_step else array

    def made_of_last(
        self, name: str, make: Callable[[NDArray[np.float32]], NDArray[Any]]
    ) -> NDArray[Any]:
        """`make(last(name))`, `[batch, ...]`: made once, for the row that asks first."""
        key = (name, make)
        made = self._made.get(key)
        if made is None:
            made = self._made[key] = make(self.last(name))
        return made

    @cached_property
    def state(self) -> State:
        """In the host's memory."""
        return host_state(self.given.state)

    @cached_property
    def rows_of_state(self) -> State:
        """The state's arrays, each with the rows on its first axis; views."""
        axes = self.batch_axes
        return tuple(map(np.moveaxis, self.state, axes, [0] * len(axes)))

    @cached_property
    def all_finite(self) -> bool:
        """Whether all outputs are, padding included."""
        return is_finite(self.given.outputs.values())

    @cached_property
    def all_states_finite(self) -> bool:
        return is_finite(self.state)


class RowOutput(NamedTuple):
    """Row `place` of a batch. What it gives are views of the batch: copy what you keep."""

    batch: BatchOutput
    place: int
    exhausted: bool
    """Whether the row has now consumed all its inputs."""

    @property
    def outputs(self) -> dict[str, NDArray[np.float32]]:
        return {name: self.output(name) for name in self.batch.given.outputs}

    def output(self, name: str) -> NDArray[np.float32]:
        """`[steps, ...]` of one with a time axis, `[...]` of any other; no padding."""
        batch, place = self.batch, self.place
        array = batch.given.outputs[name][place]
        return array[: int(batch.lengths[place])] if name in batch.per_step else array

    @property
    def state(self) -> State:
        return tuple([array[self.place] for array in self.batch.rows_of_state])

    @property
    def finite(self) -> bool:
        """Whether all that it gave is; its state is not looked at."""
        return self.batch.all_finite or is_finite(self.outputs.values())

    @property
    def state_finite(self) -> bool:
        return self.batch.all_states_finite or is_finite(self.state)

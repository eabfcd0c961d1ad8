"""The encoder as a Runtime: what it reads has no past, and its state is where the decoder begins.

The decoder is a Runtime like any other, whose rows have a memory to look back at.
"""

from pathlib import Path
from typing import cast

import numpy as np
from numpy.typing import NDArray

from service.artifact.graphs import EncoderSpec, StateSpec
from service.errors import ModelFailed
from service.runtime.base import State, StepInput, StepOutput
from service.runtime.onnx import check_shapes
from service.runtime.session import RuntimeConfig, open_session


class Encoder:
    """Loaded. Its one output is the memory `[batch, time, features]`.

    Raises DeviceUnavailable, or ModelFailed if the graph does not load.
    """

    def __init__(
        self, path: Path, spec: EncoderSpec, config: RuntimeConfig, *, state: tuple[StateSpec, ...]
    ) -> None:
        """`state` is the decoder's."""
        self._spec = spec
        self._zero = tuple(np.zeros(pair.row_shape, np.float32) for pair in state)
        self.batch_axes = tuple(pair.batch_axis for pair in state)
        self.per_step = frozenset({spec.memory.name})
        self._session = open_session(path, config).session

    def initial_state(self) -> State:
        """Nobody reads it."""
        return self._zero

    def step(self, step: StepInput) -> StepOutput:
        """Read whole sources; the state that comes out is the decoder's first."""
        check_shapes(step)
        spec = self._spec
        feeds = {spec.input.name: step.values, spec.lengths: step.lengths}
        names = [spec.memory.name, *spec.state]
        try:
            given = self._session.run(names, feeds)
        except Exception as error:
            raise ModelFailed(f"the runtime refused a source: {error}") from error
        memory, *state = cast("list[NDArray[np.float32]]", given)
        return StepOutput({spec.memory.name: memory}, tuple(state))

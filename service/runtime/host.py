"""A graph on the processor: arrays in, arrays out."""

from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from service.artifact.graphs import GraphSpec
from service.runtime.base import StepInput, StepOutput, host_state
from service.runtime.session import ort


class HostGraph:
    """`lengths`: whether the graph takes them; one for single steps does not."""

    def __init__(self, session: ort.InferenceSession, spec: GraphSpec, *, lengths: bool) -> None:
        self._session = session
        self._input = spec.input.name
        self._lengths = spec.lengths if lengths else None
        self._states = [state.input for state in spec.state]
        self._memory = spec.memory
        self._outputs = [output.name for output in spec.outputs]
        self._names = [*self._outputs, *(state.output for state in spec.state)]

    def run(self, step: StepInput) -> StepOutput:
        feeds: dict[str, NDArray[Any]] = {self._input: step.values}
        if self._lengths is not None:
            feeds[self._lengths] = step.lengths
        feeds.update(zip(self._states, host_state(step.state), strict=True))
        if self._memory is not None:
            assert step.memory is not None, "a decoder's rows have something to look back at"
            feeds[self._memory.name] = step.memory.values
            feeds[self._memory.lengths] = step.memory.lengths
        arrays = cast("list[NDArray[np.float32]]", self._session.run(self._names, feeds))
        count = len(self._outputs)
        outputs = dict(zip(self._outputs, arrays[:count], strict=True))
        return StepOutput(outputs, tuple(arrays[count:]))

"""The Runtime on ONNX Runtime: a graph for chunks and, where there is one, a graph for one step."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from service.artifact.graphs import GraphSpec
from service.errors import ModelFailed
from service.runtime.base import State, StepInput, StepOutput
from service.runtime.device import DeviceGraph
from service.runtime.host import HostGraph
from service.runtime.session import RuntimeConfig, open_session


class OnnxRuntime:
    """A network, loaded. Raises DeviceUnavailable, or ModelFailed if a graph does not load."""

    def __init__(self, path: Path, spec: GraphSpec, config: RuntimeConfig) -> None:
        """`path` is that of `spec.file`; a graph for one step lies beside it."""
        self._zero = tuple(np.zeros(state.row_shape, np.float32) for state in spec.state)
        for array in self._zero:
            array.flags.writeable = False  # everyone gets the same one
        self.batch_axes = tuple(state.batch_axis for state in spec.state)
        self.per_step = frozenset(output.name for output in spec.outputs if output.per_step)
        chunks = open_session(path, config)
        self.device = chunks.device
        graph = HostGraph if chunks.device == "cpu" else DeviceGraph
        self._chunks = graph(chunks.session, spec, lengths=True)
        self._step = None
        if spec.step_file is not None:
            # On the device where the other one is: they hand each other the state.
            same = replace(config, device=chunks.device)
            opened = open_session(path.with_name(spec.step_file), same)
            self._step = graph(opened.session, spec, lengths=False)

    def initial_state(self) -> State:
        return self._zero

    def step(self, step: StepInput) -> StepOutput:
        check_shapes(step)
        graph = self._step if step.single and self._step is not None else self._chunks
        try:
            return graph.run(step)
        except Exception as error:
            raise ModelFailed(f"the runtime refused a step: {error}") from error


def check_shapes(step: StepInput) -> None:
    """Refuse what ONNX Runtime answers with an abort of the process or with a lost state.

    An empty batch, or no time, ends the whole process (SIGABRT) in its LSTM and GRU; a row of
    length 0 gets a zeroed state.
    """
    batch, time = step.values.shape[:2]
    lengths = step.lengths
    if batch < 1 or time < 1:
        raise ModelFailed(f"a step of {batch} rows and {time} steps; both must be at least 1")
    if lengths.dtype != np.int32 or lengths.shape != (batch,):
        raise ModelFailed(f"lengths are {lengths.dtype} {lengths.shape}, not int32 ({batch},)")
    if lengths.min() < 1 or lengths.max() > time:
        raise ModelFailed(f"a length outside 1..{time}")
    if step.single and time != 1:
        raise ModelFailed(f"single steps of {time} steps")

"""A graph, run as the service runs it: chunk and state go in, outputs and state come out."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from service.artifact.manifest import GraphSpec, StateSpec

# It would tell its maker of its use, from a thread that it starts when it is imported.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
import onnxruntime

Array = NDArray[Any]
State = tuple[NDArray[np.float32], ...]


@dataclass(frozen=True, slots=True)
class Ran:
    outputs: NDArray[np.float32]
    """The graph's first output, batch first."""
    state: State


class Runner:
    """ONNX Runtime on one thread of the CPU; remembers nothing between calls.

    A graph of single steps takes no lengths, and inputs of one step.
    """

    def __init__(self, model: bytes | Path, spec: GraphSpec) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.log_severity_level = 3
        source = str(model) if isinstance(model, Path) else model
        self._session = onnxruntime.InferenceSession(
            source, options, providers=["CPUExecutionProvider"]
        )
        self.spec = spec
        self._takes_lengths = any(put.name == spec.lengths for put in self._session.get_inputs())

    def initial_state(self, num_rows: int) -> State:
        return tuple(np.zeros(_shape(pair, num_rows), np.float32) for pair in self.spec.state)

    def run(
        self, inputs: Array, lengths: NDArray[np.int32] | None = None, state: State | None = None
    ) -> Ran:
        """`inputs [batch, time, ...]`; `lengths [batch]`, None for full rows."""
        rows, steps = inputs.shape[:2]
        lengths = np.full(rows, steps, np.int32) if lengths is None else lengths
        state = self.initial_state(rows) if state is None else state
        feeds = {self.spec.input.name: inputs}
        if self._takes_lengths:
            feeds[self.spec.lengths] = lengths
        feeds |= {pair.input: part for pair, part in zip(self.spec.state, state, strict=True)}
        names = [self.spec.outputs[0].name, *(pair.output for pair in self.spec.state)]
        outputs, *final = cast("list[NDArray[np.float32]]", self._session.run(names, feeds))
        return Ran(outputs, tuple(final))


def _shape(pair: StateSpec, num_rows: int) -> tuple[int, ...]:
    return tuple(size if isinstance(size, int) else num_rows for size in pair.shape)

"""A graph on a device: the state of rows that step on together never leaves it.

Inputs are copied in and outputs out, by bindings made anew for each call, so that several threads
may call at once. Lengths stay on the host, where the recurrent kernels want them: on the device
each call would wait for a copy back.

Calls are not captured as CUDA graphs. A capture is bound to the thread that made it, and while it
lasts a CUDA call of any other thread may fail and spoil it: here several threads step, and models
are loaded meanwhile.
"""

from typing import Any, cast
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from service.artifact.graphs import GraphSpec
from service.runtime.base import BatchState, Memory, State, StepInput, StepOutput
from service.runtime.session import ort


class ResidentState:
    """A batch's state as the device has it."""

    def __init__(self, values: tuple[ort.OrtValue, ...]) -> None:
        self.values = values
        self._host: State | None = None

    def to_host(self) -> State:
        """Copied once, however often it is asked for."""
        if self._host is None:
            # Where the device is the processor itself, `numpy` is a view of memory that the next
            # owner writes to.
            self._host = tuple(value.numpy().copy() for value in self.values)
        return self._host


class DeviceGraph:
    """`lengths`: whether the graph takes them; one for single steps does not."""

    def __init__(
        self,
        session: ort.InferenceSession,
        spec: GraphSpec,
        *,
        lengths: bool,
        device: str = "cuda",
    ) -> None:
        self._session = session
        self._spec = spec
        self._takes_lengths = lengths
        self._device = device
        self._memories: WeakKeyDictionary[Memory, tuple[ort.OrtValue, ort.OrtValue]]
        self._memories = WeakKeyDictionary()

    @property
    def num_memories(self) -> int:
        """That lie on the device."""
        return len(self._memories)

    def run(self, step: StepInput) -> StepOutput:
        spec = self._spec
        binding = self._session.io_binding()
        # The binding holds addresses only: what it points to must live until the call has ended.
        held = [self._on_device(step.values)]
        binding.bind_ortvalue_input(spec.input.name, held[0])
        if self._takes_lengths:
            binding.bind_cpu_input(spec.lengths, step.lengths)
        states = self._states(step.state)
        for state, value in zip(spec.state, states, strict=True):
            binding.bind_ortvalue_input(state.input, value)
        if spec.memory is not None:
            assert step.memory is not None, "a decoder's rows have something to look back at"
            values, lengths = self._remembered(step.memory)
            held += [values, lengths]
            binding.bind_ortvalue_input(spec.memory.name, values)
            binding.bind_ortvalue_input(spec.memory.lengths, lengths)
        for output in spec.outputs:
            binding.bind_output(output.name, "cpu")
        for state in spec.state:
            binding.bind_output(state.output, self._device, 0)
        self._session.run_with_iobinding(binding)
        binding.synchronize_outputs()
        values = binding.get_outputs()
        count = len(spec.outputs)
        outputs = {
            output.name: cast("NDArray[np.float32]", value.numpy()).copy()
            for output, value in zip(spec.outputs, values[:count], strict=True)
        }
        return StepOutput(outputs, ResidentState(tuple(values[count:])) if spec.state else ())

    def _remembered(self, memory: Memory) -> tuple[ort.OrtValue, ort.OrtValue]:
        """Copied once, however many steps look at it; let go of with the memory itself."""
        copied = self._memories.get(memory)
        if copied is None:
            copied = self._on_device(memory.values), self._on_device(memory.lengths)
            self._memories[memory] = copied
        return copied

    def _states(self, state: BatchState) -> tuple[ort.OrtValue, ...]:
        if isinstance(state, ResidentState):
            return state.values
        assert isinstance(state, tuple), "a state of another device"
        return tuple(self._on_device(array) for array in state)

    def _on_device(self, array: NDArray[Any]) -> ort.OrtValue:
        return ort.OrtValue.ortvalue_from_numpy(np.ascontiguousarray(array), self._device, 0)

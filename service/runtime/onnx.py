"""The Runtime on ONNX Runtime, on the processor or a CUDA device."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, cast

import numpy as np
import structlog
from numpy.typing import NDArray

from service.artifact.manifest import GraphSpec
from service.errors import DeviceUnavailable, ModelFailed
from service.runtime.base import State, StepInput, StepOutput, host_state

# It would tell its maker of its use, from a thread that it starts when it is imported.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
import onnxruntime as ort

_log = structlog.get_logger(__name__)

Device = Literal["auto", "cpu", "cuda"]

_PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}


@dataclass(frozen=True, slots=True)
class RuntimeConfig:
    device: Device = "auto"
    """`auto` takes CUDA where it works; `cuda` refuses to start without it."""
    threads: int = 1
    """Threads inside one call. One is fastest for small models: the engine batches instead."""


class OnnxRuntime:
    """One graph, loaded. Raises DeviceUnavailable, or ModelFailed if the graph does not load."""

    def __init__(self, path: Path, spec: GraphSpec, config: RuntimeConfig) -> None:
        self._spec = spec
        self._session, self.device = _open(path, config)
        self._output_names = [s.name for s in spec.outputs] + [s.output for s in spec.state]
        self._num_outputs = len(spec.outputs)

    @property
    def batch_axes(self) -> tuple[int, ...]:
        return tuple(spec.batch_axis for spec in self._spec.state)

    @property
    def per_step(self) -> frozenset[str]:
        return frozenset(spec.name for spec in self._spec.outputs if spec.per_step)

    def initial_state(self) -> State:
        return tuple(np.zeros(spec.row_shape, np.float32) for spec in self._spec.state)

    def step(self, step: StepInput) -> StepOutput:
        check_shapes(step)
        spec = self._spec
        feeds: dict[str, NDArray[Any]] = {
            spec.input.name: step.values,
            spec.lengths: step.lengths,
        }
        for state, array in zip(spec.state, host_state(step.state), strict=True):
            feeds[state.input] = array
        try:
            arrays = cast("list[NDArray[np.float32]]", self._session.run(self._output_names, feeds))
        except Exception as error:
            raise ModelFailed(f"the runtime refused a step: {error}") from error
        names = self._output_names[: self._num_outputs]
        return StepOutput(
            outputs=dict(zip(names, arrays[: self._num_outputs], strict=True)),
            state=tuple(arrays[self._num_outputs :]),
        )


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


def _open(path: Path, config: RuntimeConfig) -> tuple[ort.InferenceSession, str]:
    wanted = config.device
    if wanted == "cpu":
        return _session(path, config, "cpu"), "cpu"
    offered = _PROVIDERS["cuda"] in ort.get_available_providers()
    if not offered and wanted == "auto":
        return _session(path, config, "cpu"), "cpu"
    if not offered:
        raise DeviceUnavailable(
            "RECUR_DEVICE is cuda, but the installed ONNX Runtime has no CUDA provider: "
            "install the extra gpu in place of cpu"
        )
    # The CUDA and cuDNN libraries come as wheels, outside the loader's search path.
    ort.preload_dlls()
    try:
        return _cuda_session(path, config), "cuda"
    except ModelFailed as error:
        if wanted == "cuda":
            raise DeviceUnavailable(f"RECUR_DEVICE is cuda, but {error.message}") from error
        _log.warning("CUDA does not work here, using the processor", reason=error.message)
        return _session(path, config, "cpu"), "cpu"


def _cuda_session(path: Path, config: RuntimeConfig) -> ort.InferenceSession:
    """All nodes on the device, or a word about those that are not."""
    try:
        return _session(path, config, "cuda", {"session.disable_cpu_ep_fallback": "1"})
    except ModelFailed as refusal:
        # Either CUDA does not work, which the second try says, or it lacks a node's kernel.
        session = _session(path, config, "cuda")
        _log.warning("some nodes run on the processor", reason=refusal.message)
        return session


def _session(
    path: Path,
    config: RuntimeConfig,
    device: Literal["cpu", "cuda"],
    entries: Mapping[str, str] = MappingProxyType({}),
) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.intra_op_num_threads = config.threads
    options.inter_op_num_threads = 1
    options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    options.log_severity_level = 3
    for name, value in {"session.intra_op.allow_spinning": "0", **entries}.items():
        options.add_session_config_entry(name, value)
    try:
        session = ort.InferenceSession(str(path), options, providers=[_PROVIDERS[device]])
    except Exception as error:
        raise ModelFailed(f"{path.name} does not load on {device}: {error}") from error
    if _PROVIDERS[device] not in session.get_providers():
        raise ModelFailed(f"ONNX Runtime did not start its {device} provider")
    return session

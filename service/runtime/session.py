"""ONNX Runtime's sessions: one graph, opened where the settings ask for, or refused by name."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Literal

import structlog

from service.errors import DeviceUnavailable, ModelFailed

# It would tell its maker of its use, from a thread that it starts when it is imported.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
import onnxruntime as ort  # here, and nowhere else: after the line above

_log = structlog.get_logger(__name__)

Device = Literal["auto", "cpu", "cuda"]
Precision = Literal["auto", "float32"]

_PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}


@dataclass(frozen=True, slots=True)
class RuntimeConfig:
    device: Device = "auto"
    """`auto` takes CUDA where it works; `cuda` refuses to start without it."""
    threads: int = 1
    """Threads inside one call. One is fastest for small models: the engine batches instead."""
    precision: Precision = "auto"
    """`auto` takes a model's int8 form where it has one and the processor is fast at it."""


@dataclass(frozen=True, slots=True)
class Opened:
    """A session, and the device that it is on."""

    session: ort.InferenceSession
    device: Literal["cpu", "cuda"]


def cuda_is_offered() -> bool:
    """Whether the installed ONNX Runtime was built for it; the device may still be missing."""
    return _PROVIDERS["cuda"] in ort.get_available_providers()


def open_session(path: Path, config: RuntimeConfig) -> Opened:
    """Raises DeviceUnavailable, or ModelFailed if the graph does not load."""
    wanted = config.device
    if wanted == "cpu":
        return Opened(_cpu_session(path, config), "cpu")
    offered = cuda_is_offered()
    if not offered and wanted == "auto":
        return Opened(_cpu_session(path, config), "cpu")
    if not offered:
        raise DeviceUnavailable(
            "RECUR_DEVICE is cuda, but the installed ONNX Runtime has no CUDA provider: "
            "install the extra gpu in place of cpu"
        )
    # The CUDA and cuDNN libraries come as wheels, outside the loader's search path.
    ort.preload_dlls()
    try:
        return Opened(_cuda_session(path, config), "cuda")
    except ModelFailed as error:
        if wanted == "cuda":
            raise DeviceUnavailable(f"RECUR_DEVICE is cuda, but {error.message}") from error
        _log.warning("CUDA does not work here, using the processor", reason=error.message)
        return Opened(_cpu_session(path, config), "cpu")


def _cpu_session(path: Path, config: RuntimeConfig) -> ort.InferenceSession:
    """With the arena that all of them share."""
    _register_arena()
    return _session(path, config, "cpu", {"session.use_env_allocators": "1"})


@cache
def _register_arena() -> None:
    """One store of scratch memory for all graphs of the process.

    An arena keeps the most that was ever in use at once, for good. With one of its own each graph
    would keep the most that it ever needed, though few of them run at a time.
    """
    memory = ort.OrtMemoryInfo(
        "Cpu", ort.OrtAllocatorType.ORT_ARENA_ALLOCATOR, 0, ort.OrtMemType.DEFAULT
    )
    its_defaults = ort.OrtArenaCfg(0, -1, -1, -1)
    ort.create_and_register_allocator(memory, its_defaults)


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

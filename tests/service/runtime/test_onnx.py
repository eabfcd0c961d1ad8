"""ONNX Runtime behind the Runtime protocol: what a row gets depends on nothing but the row."""

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import pytest

from service.artifact.artifact import load_artifact
from service.errors import DeviceUnavailable, ModelFailed
from service.runtime.base import State, StepInput, StepOutput
from service.runtime.onnx import OnnxRuntime
from service.runtime.session import RuntimeConfig
from service.runtime.state import stack, unstack
from tests.service.artifacts import save_babble, save_parity, save_running_total

CPU = RuntimeConfig(device="cpu")
HAS_CUDA = "CUDAExecutionProvider" in ort.get_available_providers()


@dataclass(frozen=True)
class Loaded:
    runtime: OnnxRuntime

    def step(self, rows: list[np.ndarray], states: list[State], *, padding: int = 0) -> StepOutput:
        """One call for ragged `rows`, padded with token `padding`."""
        longest = max(len(row) for row in rows)
        values = np.full((len(rows), longest), padding, np.int64)
        for index, row in enumerate(rows):
            values[index, : len(row)] = row
        lengths = np.array([len(row) for row in rows], np.int32)
        return self.runtime.step(StepInput(values, lengths, stack(states, (1, 1))))

    def read(self, row: np.ndarray, *, chunk: int | None = None) -> tuple[np.ndarray, State]:
        """Alone, from the zero state; whole or in chunks. Logits `[steps, vocab]`, final state."""
        state = self.runtime.initial_state()
        parts: list[np.ndarray] = []
        for at in range(0, len(row), chunk or len(row)):
            result = self.step([row[at : at + (chunk or len(row))]], [state])
            parts.append(result.outputs["logits"][0])
            (state,) = unstack(result.state, (1, 1))
        return np.concatenate(parts), state


def babble(tmp_path: Path, config: RuntimeConfig = CPU) -> Loaded:
    artifact = load_artifact(save_babble(tmp_path))
    return Loaded(OnnxRuntime(artifact.model_path, artifact.manifest.graph, config))


def tokens(steps: int, *, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, steps)


def assert_bitwise(seen: State, expected: State) -> None:
    for one, other in zip(seen, expected, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("company", [1, 4, 32])
@pytest.mark.parametrize("steps", [1, 7, 20])
def test_a_row_is_the_same_bit_for_bit_in_any_company(
    company: int, steps: int, tmp_path: Path
) -> None:
    model = babble(tmp_path)
    row = tokens(steps)
    alone, final = model.read(row)
    others = [tokens(1 + 5 * i % 23, seed=i + 1) for i in range(company)]
    place = company // 2
    rows = [*others[:place], row, *others[place:]]
    result = model.step(rows, [model.runtime.initial_state()] * len(rows))
    np.testing.assert_array_equal(result.outputs["logits"][place, :steps], alone)
    assert_bitwise(unstack(result.state, (1, 1))[place], final)


@pytest.mark.parametrize("chunk", [1, 3, 7, 16])
def test_a_sequence_is_the_same_bit_for_bit_in_any_chunks(chunk: int, tmp_path: Path) -> None:
    model = babble(tmp_path)
    row = tokens(20)
    whole, final = model.read(row)
    chunked, state = model.read(row, chunk=chunk)
    np.testing.assert_array_equal(chunked, whole)
    assert_bitwise(state, final)


@pytest.mark.parametrize("padding", [0, 17, 255])
def test_what_stands_in_the_padding_changes_nothing(padding: int, tmp_path: Path) -> None:
    model = babble(tmp_path)
    short, long = tokens(3), tokens(19, seed=1)
    alone, final = model.read(short)
    result = model.step([long, short], [model.runtime.initial_state()] * 2, padding=padding)
    np.testing.assert_array_equal(result.outputs["logits"][1, :3], alone)
    assert_bitwise(unstack(result.state, (1, 1))[1], final)


def test_a_state_given_in_is_the_state_gone_on_from(tmp_path: Path) -> None:
    model = babble(tmp_path)
    _, first = model.read(tokens(5))
    _, second = model.read(tokens(9, seed=1))
    together = model.step([tokens(4, seed=2)] * 2, [first, second])
    swapped = model.step([tokens(4, seed=2)] * 2, [second, first])
    np.testing.assert_array_equal(together.outputs["logits"][::-1], swapped.outputs["logits"])
    assert (together.outputs["logits"][0] != together.outputs["logits"][1]).any()


def test_it_says_what_its_tensors_are(tmp_path: Path) -> None:
    runtime = babble(tmp_path).runtime
    assert runtime.batch_axes == (1, 1)
    assert runtime.per_step == {"logits"}
    assert [array.shape for array in runtime.initial_state()] == [(1, 32), (1, 32)]
    assert all((array == 0).all() for array in runtime.initial_state())
    assert runtime.device == "cpu"


def test_a_model_without_state_steps_without_one(tmp_path: Path) -> None:
    artifact = load_artifact(save_parity(tmp_path))
    runtime = OnnxRuntime(artifact.model_path, artifact.manifest.graph, CPU)
    values = np.array([[1, 2, 4], [1, 9, 9]])
    result = runtime.step(StepInput(values, np.array([3, 1], np.int32), ()))
    assert result.outputs["logits"].argmax(axis=1).tolist() == [1, 1]
    assert result.state == ()
    assert runtime.per_step == {"attention"}


ONE_ROW = (np.zeros((1, 1, 1), np.float32),)


@pytest.mark.parametrize(
    ("values", "lengths"),
    [
        (np.zeros((0, 3, 1)), np.zeros(0, np.int32)),
        (np.zeros((1, 0, 1)), np.ones(1, np.int32)),
        (np.zeros((0, 0, 1)), np.zeros(0, np.int32)),
        (np.zeros((1, 3, 1)), np.array([0], np.int32)),
        (np.zeros((1, 3, 1)), np.array([-1], np.int32)),
        (np.zeros((1, 3, 1)), np.array([4], np.int32)),
        (np.zeros((1, 3, 1)), np.array([3], np.int64)),
        (np.zeros((1, 3, 1)), np.array([3, 3], np.int32)),
        (np.zeros((1, 3, 1)), np.array([[3]], np.int32)),
    ],
    ids=["no-rows", "no-time", "nothing", "zero", "negative", "beyond", "int64", "two", "rank"],
)
def test_what_would_end_the_process_never_reaches_onnx_runtime(
    values: np.ndarray, lengths: Any, tmp_path: Path
) -> None:
    artifact = load_artifact(save_running_total(tmp_path))
    runtime = OnnxRuntime(artifact.model_path, artifact.manifest.graph, CPU)
    state = (np.zeros((1, len(values), 1), np.float32),)
    with pytest.raises(ModelFailed):
        runtime.step(StepInput(values.astype(np.float32), lengths, state))
    # It is alive, and right.
    result = runtime.step(
        StepInput(np.ones((1, 2, 1), np.float32), np.full(1, 2, np.int32), ONE_ROW)
    )
    assert result.outputs["forecast"][0, :, 0, 0].tolist() == [1, 2]


@pytest.mark.parametrize(
    "step",
    [
        StepInput(np.zeros((1, 1, 2), np.float32), np.ones(1, np.int32), ONE_ROW),
        StepInput(np.zeros((1, 1, 1), np.float64), np.ones(1, np.int32), ONE_ROW),
        StepInput(
            np.zeros((1, 1, 1), np.float32), np.ones(1, np.int32), (np.zeros((2, 1), np.float32),)
        ),
    ],
    ids=["features", "dtype", "state"],
)
def test_what_onnx_runtime_refuses_is_the_models_failure(step: StepInput, tmp_path: Path) -> None:
    artifact = load_artifact(save_running_total(tmp_path))
    runtime = OnnxRuntime(artifact.model_path, artifact.manifest.graph, CPU)
    with pytest.raises(ModelFailed, match="refused a step"):
        runtime.step(step)


def test_a_graph_that_does_not_load_is_named(tmp_path: Path) -> None:
    spec = load_artifact(save_babble(tmp_path)).manifest.graph
    (tmp_path / "broken.onnx").write_bytes(b"nothing")
    with pytest.raises(ModelFailed, match=r"broken\.onnx"):
        OnnxRuntime(tmp_path / "broken.onnx", spec, CPU)


@pytest.mark.skipif(HAS_CUDA, reason="the ONNX Runtime here has a CUDA provider")
def test_a_device_that_is_not_there_is_refused_by_the_settings_name(tmp_path: Path) -> None:
    with pytest.raises(DeviceUnavailable, match="RECUR_DEVICE"):
        babble(tmp_path, RuntimeConfig(device="cuda"))


@pytest.mark.skipif(HAS_CUDA, reason="the ONNX Runtime here has a CUDA provider")
def test_auto_takes_the_processor_where_there_is_nothing_else(tmp_path: Path) -> None:
    assert babble(tmp_path, RuntimeConfig(device="auto")).runtime.device == "cpu"


@pytest.mark.gpu
@pytest.mark.slow
@pytest.mark.skipif(not HAS_CUDA, reason="the ONNX Runtime here has no CUDA provider")
def test_cuda_agrees_with_the_processor(tmp_path: Path) -> None:
    row = tokens(50)
    on_cpu, cpu_state = babble(tmp_path / "cpu").read(row)
    on_cuda, cuda_state = babble(tmp_path / "cuda", RuntimeConfig(device="cuda")).read(row)
    # Sums run in another order, and cuDNN may use other exponentials: 1e-4, not bit for bit.
    np.testing.assert_allclose(on_cuda, on_cpu, atol=1e-4, rtol=1e-4)
    for seen, expected in zip(cuda_state, cpu_state, strict=True):
        np.testing.assert_allclose(seen, expected, atol=1e-4, rtol=1e-4)


def test_onnx_runtime_does_not_report_its_use() -> None:
    script = (
        "import threading, service.runtime.onnx, os\n"
        "assert os.environ['ORT_DISABLE_TELEMETRY'] == '1'\n"
        "assert len(os.listdir('/proc/self/task')) == 1, 'a thread runs after the import'"
    )
    env = {k: v for k, v in os.environ.items() if k != "ORT_DISABLE_TELEMETRY"}
    env["OPENBLAS_NUM_THREADS"] = "1"  # NumPy starts threads of its own otherwise
    done = subprocess.run(
        [sys.executable, "-c", script], env=env, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr

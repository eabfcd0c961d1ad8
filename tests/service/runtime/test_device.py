"""A graph with its state left on the device: the same numbers, without the way back and forth.

The processor is a device too: all of the binding runs here, but for the copies across a bus.
"""

from pathlib import Path

import numpy as np
import pytest

from service.artifact.artifact import load_artifact
from service.runtime.base import Memory, StepInput, host_state
from service.runtime.device import DeviceGraph, ResidentState
from service.runtime.host import HostGraph
from service.runtime.session import RuntimeConfig, cuda_is_offered, open_session
from tests.service.artifacts import save_babble, save_parity
from tests.service.babel import save_babel

ROWS = 5

needs_cuda = pytest.mark.skipif(not cuda_is_offered(), reason="no CUDA provider in ONNX Runtime")
CUDA = pytest.param("cuda", marks=[pytest.mark.gpu, pytest.mark.slow, needs_cuda])


def graphs(folder: Path, device: str) -> tuple[HostGraph, DeviceGraph]:
    artifact = load_artifact(folder)
    spec = artifact.manifest.graph
    on_host = open_session(artifact.model_path, RuntimeConfig(device="cpu")).session
    wanted = RuntimeConfig(device="cuda" if device == "cuda" else "cpu")
    on_device = open_session(artifact.model_path, wanted).session
    return (
        HostGraph(on_host, spec, lengths=True),
        DeviceGraph(on_device, spec, lengths=True, device=device),
    )


def chunk(seed: int, steps: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    lengths = rng.integers(1, steps + 1, ROWS).astype(np.int32)
    lengths[0] = steps
    return rng.integers(0, 256, (ROWS, steps)), lengths


@pytest.mark.parametrize("device", ["cpu", CUDA])
def test_a_decoder_looks_back_at_what_the_host_looks_back_at(device: str, tmp_path: Path) -> None:
    host, resident = graphs(save_babel(tmp_path), device)
    rng = np.random.default_rng(0)
    host_end = device_end = (np.zeros((1, ROWS, 8), np.float32),)
    for _ in range(2):
        values = rng.uniform(-1, 1, (ROWS, 16, 8)).astype(np.float32)
        memory = Memory(values, rng.integers(1, 17, ROWS).astype(np.int32))
        for _ in range(3):  # the same one again, as rows step on together
            tokens, ones = rng.integers(0, 12, (ROWS, 1)), np.ones(ROWS, np.int32)
            expected = host.run(StepInput(tokens, ones, host_end, memory=memory))
            seen = resident.run(StepInput(tokens, ones, device_end, memory=memory))
            tolerance = 0.0 if device == "cpu" else 1e-4
            for name in ("logits", "attention"):
                np.testing.assert_allclose(
                    seen.outputs[name], expected.outputs[name], atol=tolerance
                )
            host_end, device_end = expected.state, seen.state


def test_a_memory_is_on_the_device_for_as_long_as_somebody_looks_at_it(tmp_path: Path) -> None:
    _, resident = graphs(save_babel(tmp_path), "cpu")
    memory = Memory(np.ones((1, 16, 8), np.float32), np.ones(1, np.int32))
    values, lengths = np.array([[3]]), np.ones(1, np.int32)
    state = (np.zeros((1, 1, 8), np.float32),)
    for _ in range(2):
        resident.run(StepInput(values, lengths, state, memory=memory))
    assert resident.num_memories == 1
    del memory
    assert resident.num_memories == 0


@pytest.mark.parametrize("device", ["cpu", CUDA])
def test_chained_chunks_give_what_the_host_gives(device: str, tmp_path: Path) -> None:
    host, resident = graphs(save_babble(tmp_path), device)
    zero = (np.zeros((1, ROWS, 32), np.float32),) * 2
    host_end, device_end = zero, zero
    for seed, steps in enumerate((7, 1, 1, 12)):
        values, lengths = chunk(seed, steps)
        expected = host.run(StepInput(values, lengths, host_end))
        seen = resident.run(StepInput(values, lengths, device_end))
        # On CUDA sums run in another order, and cuDNN may use other exponentials.
        tolerance = 0.0 if device == "cpu" else 1e-4
        valid = np.arange(steps) < lengths[:, None]
        np.testing.assert_allclose(
            seen.outputs["logits"][valid], expected.outputs["logits"][valid], atol=tolerance
        )
        for one, other in zip(host_state(seen.state), host_state(expected.state), strict=True):
            np.testing.assert_allclose(one, other, atol=tolerance)
        host_end, device_end = expected.state, seen.state
    assert isinstance(device_end, ResidentState)


def test_what_was_copied_out_stays_as_it_was(tmp_path: Path) -> None:
    _, resident = graphs(save_babble(tmp_path), "cpu")
    values, lengths = chunk(0, 4)
    first = resident.run(StepInput(values, lengths, (np.zeros((1, ROWS, 32), np.float32),) * 2))
    logits, state = first.outputs["logits"], host_state(first.state)
    before = [logits.copy(), *(array.copy() for array in state)]
    for _ in range(20):
        resident.run(StepInput(values, lengths, first.state))
    for seen, expected in zip([logits, *state], before, strict=True):
        np.testing.assert_array_equal(seen, expected)


def test_a_graph_without_state_leaves_none(tmp_path: Path) -> None:
    _, resident = graphs(save_parity(tmp_path), "cpu")
    result = resident.run(StepInput(np.array([[1, 2]]), np.array([2], np.int32), ()))
    assert result.state == ()

"""What the sessions of one process share."""

import multiprocessing
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
import pytest

from service.artifact.artifact import load_artifact
from service.runtime.base import StepInput
from service.runtime.onnx import OnnxRuntime
from service.runtime.session import RuntimeConfig
from tests.service.artifacts import save_babble

ROWS, STEPS = 64, 2048
STATM = Path("/proc/self/statm")
"""Pages of memory of this process: the second number is of those that are resident."""


@pytest.mark.slow
@pytest.mark.skipif(not STATM.exists(), reason="no /proc")
def test_a_second_graph_works_in_the_memory_that_the_first_one_used(tmp_path: Path) -> None:
    save_babble(tmp_path)
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=work_one_after_the_other, args=(tmp_path, theirs))
    process.start()
    first, second = ours.recv()
    process.join()
    assert second < first / 2


def work_one_after_the_other(folder: Path, pipe: Connection) -> None:
    """Sends the pages that each of two graphs took for the same call."""
    (version,) = folder.glob("babble/*")
    artifact = load_artifact(version)
    graph = artifact.manifest.graph
    config = RuntimeConfig(device="cpu")
    runtimes = [OnnxRuntime(artifact.model_path, graph, config) for _ in range(2)]
    state = (np.zeros((1, ROWS, 32), np.float32),) * 2
    call = StepInput(np.zeros((ROWS, STEPS), np.int64), np.full(ROWS, STEPS, np.int32), state)
    before, taken = resident_pages(), []
    for runtime in runtimes:
        runtime.step(call)
        taken.append(resident_pages() - before)
        before = resident_pages()
    pipe.send(taken)


def resident_pages() -> int:
    return int(STATM.read_text().split()[1])

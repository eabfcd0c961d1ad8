"""One step of a batch: pad, load the state, run, keep the state. Holds no policy."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.engine.arena import Arena
from service.engine.row_output import BatchOutput
from service.engine.scheduler import Batch
from service.runtime.base import Runtime, StepInput


def run_step(
    runtime: Runtime, arena: Arena, batch: Batch, *, before_call: Callable[[], None]
) -> BatchOutput:
    """Advance every row of the batch by its chunk; positions and states move on success only.

    `before_call` runs when all is ready for the runtime, which needs the interpreter no more.
    """
    rows = batch.rows
    values, lengths = _single(batch) if batch.single else _padded(batch)
    memory = arena.memories.of(rows)
    step = StepInput(values, lengths, arena.load(rows), single=batch.single, memory=memory)
    before_call()
    given = runtime.step(step)
    arena.keep(rows, given.state)
    for sequence, steps in zip(rows, lengths.tolist(), strict=True):
        sequence.advance(steps)
    return BatchOutput(given, lengths, runtime.per_step, runtime.batch_axes)


def _single(batch: Batch) -> tuple[NDArray[Any], NDArray[np.int32]]:
    """`[batch, 1, ...]` of rows that are one step each."""
    values = np.concatenate([sequence.inputs for sequence in batch.rows])
    return values[:, None], np.ones(len(batch.rows), np.int32)


def _padded(batch: Batch) -> tuple[NDArray[Any], NDArray[np.int32]]:
    """`[batch, time, ...]`, zero behind each row's end, as long as the longest chunk is."""
    chunks = [s.inputs[s.position : s.position + batch.steps] for s in batch.rows]
    lengths = np.array([len(chunk) for chunk in chunks], dtype=np.int32)
    first = chunks[0]
    values = np.zeros((len(chunks), int(lengths.max()), *first.shape[1:]), first.dtype)
    for row, chunk in enumerate(chunks):
        values[row, : len(chunk)] = chunk
    return values, lengths

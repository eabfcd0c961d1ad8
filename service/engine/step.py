"""One step of a batch: pad, stack, run, unstack. Holds no policy and keeps nothing."""

from dataclasses import dataclass

import numpy as np

from service.engine.scheduler import Batch
from service.engine.sequence import RowOutput
from service.runtime.base import Runtime, State, StepInput
from service.runtime.state import is_finite, stack, unstack


@dataclass(frozen=True, slots=True)
class StepResult:
    rows: list[RowOutput]
    """In the order of the batch."""
    useful_steps: int


def run_step(runtime: Runtime, batch: Batch) -> StepResult:
    """Advance every row of the batch by its chunk; positions and states move on success only."""
    sequences = batch.rows
    chunks = [s.inputs[s.position : s.position + batch.steps] for s in sequences]
    lengths = np.array([len(chunk) for chunk in chunks], dtype=np.int32)
    longest = int(lengths.max())
    first = chunks[0]
    values = np.zeros((len(chunks), longest, *first.shape[1:]), first.dtype)
    for row, chunk in enumerate(chunks):
        values[row, : len(chunk)] = chunk
    axes = runtime.batch_axes
    result = runtime.step(StepInput(values, lengths, stack([s.state for s in sequences], axes)))
    states: list[State] = unstack(result.state, axes) if axes else [()] * len(sequences)
    rows: list[RowOutput] = []
    per_step = runtime.per_step
    # One look at the whole batch spares a look at each row, nearly always.
    all_finite = is_finite(result.outputs.values()) and is_finite(result.state)
    for row, sequence in enumerate(sequences):
        steps = int(lengths[row])
        sequence.position += steps
        sequence.state = states[row]
        outputs = {
            name: array[row, :steps] if name in per_step else array[row]
            for name, array in result.outputs.items()
        }
        finite = all_finite or (is_finite(outputs.values()) and is_finite(states[row]))
        rows.append(RowOutput(outputs, states[row], sequence.remaining == 0, finite))
    return StepResult(rows, int(lengths.sum()))

"""A short measured sweep of one model's calls, as the engine makes them, on this machine."""

import time
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.engine.arena import Arena
from service.engine.collector import Collector
from service.engine.continuations import Read
from service.engine.cost import CallSample, CostModel, fit
from service.engine.scheduler import Batch
from service.engine.sequence import Sequence
from service.engine.step import run_step
from service.runtime.base import Runtime

_SHAPES = ((1, 1), (8, 1), (32, 1), (1, 16), (8, 16), (16, 4), (32, 8))
_REPEATS = 3
_MOST_SECONDS = 0.3
"""After that long, what has been measured must do: a start is not to wait for a slow model."""


def measure(
    runtime: Runtime,
    values: Callable[[int], NDArray[Any]],
    *,
    memory: NDArray[np.float32] | None = None,
) -> CostModel:
    """The least of a few repeats of each shape, which also warms the model up.

    `values(steps)` is one row's input, `[steps, ...]`; `memory [source_time, features]` is what
    every row of a decoder looks back at. Takes its time: use a thread.
    """

    def row(steps: int, collector: Collector) -> Sequence:
        zero, reader = runtime.initial_state(), Read(runtime.per_step)
        return Sequence(values(steps), zero, reader, collector, arrived=0.0, memory=memory)

    until = time.monotonic() + _MOST_SECONDS
    samples: list[CallSample] = []
    for rows, steps in _SHAPES:
        seconds = [_timed_call(runtime, row, rows=rows, steps=steps) for _ in range(_REPEATS)]
        samples.append(CallSample(rows, steps, min(seconds)))
        if time.monotonic() > until:
            break
    return fit(samples)


def _timed_call(
    runtime: Runtime, row: Callable[[int, Collector], Sequence], *, rows: int, steps: int
) -> float:
    """Seconds of one call with all that the engine does around it."""
    arena = Arena(runtime.initial_state(), runtime.batch_axes)
    collector = Collector(rows, on_row_done=lambda _: None)
    sequences = [row(steps, collector) for _ in range(rows)]
    began = time.perf_counter()
    batch = Batch(sequences, steps, single=steps == 1)
    run_step(runtime, arena, batch, before_call=lambda: None)
    return time.perf_counter() - began

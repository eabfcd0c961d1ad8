"""A recurrent model whose output is the running total of all its row has seen.

One value that leaks from a neighbour, from padding or from another chunk shows at once. Totals of
whole numbers are exact in float32, so that comparisons are exact as well.
"""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from service.engine.cost import CostModel
from service.errors import ModelFailed
from service.runtime.base import State, StepInput, StepOutput
from service.runtime.onnx import check_shapes

GARBAGE = np.float32(1e9)

DEAR_CALLS = CostModel(call=1.0, step=0.0, row=0.0, row_step=1e-6)
"""Calls so dear that none is made on the event loop: a test may block them."""


@dataclass
class RunningTotal:
    """Reads numbers `[time, 1]`; output `total [time, 1]`; state: the total so far.

    `on_step` runs before each step, on the engine's thread: tests block or break it there.
    """

    on_step: Callable[[StepInput], None] = lambda step: None
    steps: list[StepInput] = field(default_factory=list)

    @property
    def batch_axes(self) -> tuple[int, ...]:
        return (1,)

    @property
    def per_step(self) -> frozenset[str]:
        return frozenset({"total"})

    def initial_state(self) -> State:
        return (np.zeros((1, 1), np.float32),)

    def step(self, step: StepInput) -> StepOutput:
        check_shapes(step)
        self.steps.append(step)
        self.on_step(step)
        before = step.state[0][0]  # [batch, 1]
        time = step.values.shape[1]
        valid = np.arange(time)[None, :, None] < step.lengths[:, None, None]
        with np.errstate(over="ignore"):  # a test feeds numbers that overflow
            total = before[:, None] + np.cumsum(np.where(valid, step.values, 0), axis=1)
        last = total[np.arange(len(total)), step.lengths - 1]  # [batch, 1]
        outputs = np.where(valid, total, GARBAGE).astype(np.float32)
        return StepOutput({"total": outputs}, (last[None].astype(np.float32),))


class Gate:
    """Holds the engine's thread inside a step until the test opens it."""

    def __init__(self) -> None:
        self.entered = threading.Event()
        self._open = threading.Event()

    def __call__(self, step: StepInput) -> None:
        self.entered.set()
        if not self._open.wait(timeout=30):
            raise ModelFailed("the test never opened the gate")

    def open(self) -> None:
        self._open.set()

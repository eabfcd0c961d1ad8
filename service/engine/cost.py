"""What a call costs: four coefficients, fitted to a few measured calls of one model on one machine.

    seconds(rows, steps) = call + step steps + row rows + row_step rows steps

The recurrence makes time sequential, so that a step costs something of its own however few rows
there are; the rest is what each row adds. The scheduler compares batches by it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, slots=True)
class CallSample:
    """One measured call."""

    rows: int
    steps: int
    seconds: float


@dataclass(frozen=True, slots=True)
class CostModel:
    """Seconds; none is negative, so that no batch looks cheaper than a part of it."""

    call: float
    step: float
    row: float
    row_step: float

    def seconds(self, rows: int, steps: int) -> float:
        return self.call + self.step * steps + (self.row + self.row_step * steps) * rows

    def enough_rows(self, *, steps: int, most: int, slack: float) -> int:
        """The fewest rows, doubled from one, whose call costs each of them at most `slack` times
        what it would among `most`."""
        best = self.seconds(most, steps) / most
        rows = 1
        while rows < most and self.seconds(rows, steps) / rows > slack * best:
            rows *= 2
        return min(rows, most)


TYPICAL = CostModel(call=60e-6, step=30e-6, row=2e-6, row_step=15e-6)
"""Two LSTM layers of 256 on one core; stands in where nothing was measured."""


def fit(samples: Sequence[CallSample]) -> CostModel:
    """Least squares of the relative error, with coefficients that would be negative left out."""
    seconds = np.array([sample.seconds for sample in samples])
    terms = np.array([[1, s.steps, s.rows, s.rows * s.steps] for s in samples], np.float64)
    terms /= seconds[:, None]
    kept = list(range(terms.shape[1]))
    while True:
        solution, *_ = np.linalg.lstsq(terms[:, kept], np.ones(len(samples)), rcond=None)
        lowest = int(np.argmin(solution))
        if solution[lowest] >= 0 or len(kept) == 1:
            break
        del kept[lowest]
    coefficients = np.zeros(terms.shape[1])
    coefficients[kept] = np.maximum(solution, 0.0)
    return CostModel(*map(float, coefficients))

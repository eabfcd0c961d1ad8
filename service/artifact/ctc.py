"""Connectionist temporal classification, read greedily: one code for training and for serving.

Each step tells the blank or a label; a label is new where the step before told another. Graves et
al. 2006, "Connectionist temporal classification", section 3.2: best path decoding.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from service.artifact.scores import log_softmax

BLANK = 0
"""Its place among the scores; the labels come after it."""


@dataclass(frozen=True, slots=True)
class Collapsed:
    """What some steps tell that go on from others."""

    labels: NDArray[np.int64]
    """The new ones, `[found]`, counted without the blank."""
    steps: NDArray[np.int64]
    """Where each begins, `[found]`."""
    score: float
    """Log probability of the best path, in nats: that of a whole is the sum of its chunks'."""


def collapse(logits: NDArray[np.float32], last: int = BLANK) -> Collapsed:
    """Read `logits [time, 1 + labels]`, after a step that told `last`."""
    told = logits.argmax(axis=1)
    before = np.concatenate([[last], told[:-1]])
    steps = np.flatnonzero((told != BLANK) & (told != before))
    score = log_softmax(logits).max(axis=1).sum()
    return Collapsed(told[steps] - 1, steps, float(score))


def last_told(logits: NDArray[np.float32]) -> int:
    """What the steps after `logits [time, 1 + labels]` need to know of them: what the last one
    told, blank included."""
    return int(logits[-1].argmax())

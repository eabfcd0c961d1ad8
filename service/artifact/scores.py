"""Scores to probabilities, and to their logarithms."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.artifact.beam import Candidate


def softmax(logits: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
    """Probabilities over the last axis, in double precision; NaN for scores that are not finite."""
    with np.errstate(invalid="ignore"):
        shifted = np.asarray(logits, dtype=np.float64)
        shifted = shifted - shifted.max(axis=-1, keepdims=True)
        exponentials = np.exp(shifted)
        return exponentials / exponentials.sum(axis=-1, keepdims=True)


def log_softmax(logits: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
    """Natural logarithms of the probabilities over the last axis, in double precision."""
    shifted = np.asarray(logits, dtype=np.float64)
    shifted = shifted - shifted.max(axis=-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))


def likeliest_tokens(logits: NDArray[np.floating[Any]], count: int) -> list[list[Candidate]]:
    """The `count` likeliest tokens of each row of `logits [rows, tokens]`, likeliest first, with
    the natural logarithms of their probabilities."""
    scores = log_softmax(logits)
    count = min(count, scores.shape[-1])
    chosen = np.argpartition(-scores, count - 1, axis=-1)[:, :count]
    told = np.take_along_axis(scores, chosen, axis=-1)
    order = np.lexsort((chosen, -told), axis=-1)  # of equals, the lower id first
    chosen, told = (np.take_along_axis(array, order, axis=-1) for array in (chosen, told))
    return [
        [Candidate(*one) for one in zip(tokens, values, strict=True)]
        for tokens, values in zip(chosen.tolist(), told.tolist(), strict=True)
    ]

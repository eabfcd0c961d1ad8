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
    the natural logarithms of their probabilities. Of equals, the lower id is first.

    The likeliest is taken out, `count` times: it is few, and to order all of them costs ten times
    as much.
    """
    rows, left = np.arange(len(logits)), np.array(logits)
    chosen = np.empty((len(logits), min(count, logits.shape[-1])), np.int64)
    for place in chosen.T:
        place[:] = left.argmax(axis=-1)
        left[rows, place] = -np.inf
    told = np.take_along_axis(logits, chosen, axis=-1).astype(np.float64)
    told -= told[:, :1]
    exponentials = logits.astype(np.float64)
    exponentials -= logits[rows, chosen[:, 0], None]
    np.exp(exponentials, out=exponentials)
    told -= np.log(exponentials.sum(axis=-1, keepdims=True))
    return [
        [Candidate(*one) for one in zip(tokens, values, strict=True)]
        for tokens, values in zip(chosen.tolist(), told.tolist(), strict=True)
    ]

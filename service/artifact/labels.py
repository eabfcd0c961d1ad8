"""Scores to labels: a softmax with names."""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray


def softmax(logits: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
    """Probabilities over the last axis, in double precision."""
    shifted = np.asarray(logits, dtype=np.float64)
    shifted = shifted - shifted.max(axis=-1, keepdims=True)
    exponentials = np.exp(shifted)
    return exponentials / exponentials.sum(axis=-1, keepdims=True)


def log_softmax(logits: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
    """Natural logarithms of the probabilities over the last axis, in double precision."""
    shifted = np.asarray(logits, dtype=np.float64)
    shifted = shifted - shifted.max(axis=-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))


def name_probabilities(
    logits: NDArray[np.floating[Any]], labels: tuple[str, ...]
) -> tuple[str, dict[str, float]]:
    """The likeliest label, and every label's probability, of `logits [classes]`."""
    # There are few labels: plain numbers cost a tenth of what numpy's calls do.
    scores: list[float] = logits.tolist()
    top = max(scores)
    weights = [math.exp(score - top) for score in scores]
    total = sum(weights)
    named = {label: weight / total for label, weight in zip(labels, weights, strict=True)}
    return labels[scores.index(top)], named

"""Draws the next token of many rows at once; each row's draw is the same in any company."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

_MASK = (1 << 64) - 1


@dataclass(frozen=True, slots=True)
class SamplingParams:
    """How to choose among the likely tokens."""

    temperature: float = 1.0
    """0 takes the likeliest token."""
    top_k: int = 0
    """Only the k likeliest; 0 is all."""
    top_p: float = 1.0
    """Only the fewest tokens whose probability reaches p (Holtzman et al. 2019)."""
    repetition_penalty: float = 1.0
    """Divides the positive scores, multiplies the negative ones, of tokens seen before
    (Keskar et al. 2019)."""
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Draw:
    """One row's wish: its parameters, its place in its own random stream, the tokens it saw."""

    params: SamplingParams
    position: int
    seen: NDArray[np.bool_] | None = None
    """`[vocab]`; needed with a repetition penalty only."""


def uniform(seed: int, position: int) -> float:
    """The number in [0, 1) at one place of a seed's stream (SplitMix64, Steele et al. 2014).

    A pure function: a stream can be left, forked and resumed by its two integers.
    """
    z = (seed * 0xBF58476D1CE4E5B9 + (position + 1) * 0x9E3779B97F4A7C15) & _MASK
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & _MASK
    z ^= z >> 31
    return (z >> 11) * 2.0**-53


def likeliest(logits: NDArray[np.floating[Any]]) -> NDArray[np.int64]:
    """What `sample` gives of `logits [rows, vocab]` where every row has temperature 0."""
    return logits.argmax(axis=1)


def sample(logits: NDArray[np.floating[Any]], draws: Sequence[Draw]) -> NDArray[np.int64]:
    """One token for each row of `logits [rows, vocab]`.

    Every operation works along a row, and rows that need none of it go through it all the same,
    so that no row's result depends on what another one asks for.
    """
    scores = logits.astype(np.float64)
    for row, draw in enumerate(draws):
        if draw.seen is not None and draw.params.repetition_penalty != 1.0:
            penalty = draw.params.repetition_penalty
            penalised = np.where(scores[row] > 0, scores[row] / penalty, scores[row] * penalty)
            scores[row] = np.where(draw.seen, penalised, scores[row])
    rows, vocab = scores.shape
    temperature = np.array([draw.params.temperature for draw in draws])
    greedy = temperature == 0
    if greedy.all():
        return likeliest(scores)
    order = np.argsort(-scores, axis=1, kind="stable")  # likeliest first
    ordered = np.take_along_axis(scores, order, axis=1)
    ordered -= ordered[:, :1]
    ordered /= np.where(greedy, 1.0, temperature)[:, None]
    weights = np.exp(ordered)
    top_k = np.array([draw.params.top_k or vocab for draw in draws])
    weights[np.arange(vocab) >= top_k[:, None]] = 0.0
    cumulative = np.cumsum(weights, axis=1)
    top_p = np.array([draw.params.top_p for draw in draws])[:, None]
    # A token stays while the weight before it is short of p; the first one always does.
    outside = cumulative - weights >= top_p * cumulative[:, -1:]
    outside[:, 0] = False
    weights[outside & (top_p < 1.0)] = 0.0
    cumulative = np.cumsum(weights, axis=1)
    u = np.array([uniform(draw.params.seed, draw.position) for draw in draws])
    rank = (cumulative <= (u * cumulative[:, -1])[:, None]).sum(axis=1)
    # Rounding can carry the threshold past the last weight above zero.
    rank = np.minimum(rank, (weights > 0).sum(axis=1) - 1)
    rank[greedy] = 0
    return order[np.arange(rows), rank]

"""Additive attention pooling, and its derivative. NumPy, float64."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from training.nn.reference.recurrence import Array, Rows, valid_steps


@dataclass(frozen=True, slots=True)
class PoolingWeights:
    W: Array
    """`[features, features]`"""
    b: Array
    """`[features]`"""
    v: Array
    """`[heads, features]`: a learned query for each head."""


@dataclass(frozen=True, slots=True)
class PoolingGradients:
    inputs: Array
    weights: PoolingWeights


@dataclass(frozen=True, slots=True)
class Pooled:
    outputs: Array
    """`[batch, heads * features]`"""
    shares: Array
    """`[batch, time, heads]`: the weights w, zero past a row's length."""
    back: Callable[[Array], PoolingGradients]


def pool(rows: Rows, weights: PoolingWeights) -> Pooled:
    """p = sum_t w_t y_t, w = softmax over valid steps of v . tanh(W y_t + b), for every head's v.

    Bahdanau, Cho and Bengio 2014 (arXiv 1409.0473), with a learned constant query as in Yang et
    al. 2016; several of them as in Lin et al. 2017 (arXiv 1703.03130).
    """
    valid = valid_steps(rows)[..., None]
    y = np.where(valid, rows.inputs, 0.0)
    keys = np.tanh(y @ weights.W.T + weights.b)  # [batch, time, features]
    scores = np.where(valid, keys @ weights.v.T, -np.inf)  # [batch, time, heads]
    grown = np.exp(scores - scores.max(1, keepdims=True))
    w = grown / grown.sum(1, keepdims=True)
    pooled = np.einsum("bth,btf->bhf", w, y)

    def back(d_outputs: Array) -> PoolingGradients:
        """A score's gradient is its weight times how far its step's is above the mean one."""
        d_pooled = d_outputs.reshape(pooled.shape)
        d_w = np.einsum("bhf,btf->bth", d_pooled, y)
        d_scores = w * (d_w - (w * d_w).sum(1, keepdims=True))
        d_sum = (d_scores @ weights.v) * (1 - keys**2)  # [batch, time, features]
        d_y = np.einsum("bth,bhf->btf", w, d_pooled) + d_sum @ weights.W
        d_weights = PoolingWeights(
            W=np.einsum("bti,btj->ij", d_sum, y),
            b=d_sum.sum((0, 1)),
            v=np.einsum("bth,btf->hf", d_scores, keys),
        )
        return PoolingGradients(np.where(valid, d_y, 0.0), d_weights)

    return Pooled(pooled.reshape(len(pooled), -1), w, back)

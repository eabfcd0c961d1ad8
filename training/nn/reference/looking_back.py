"""Attention in float64 NumPy with gradients worked out by hand: what torch and ONNX must equal.

Written to be read beside the papers, not to be fast. One row at a time would do; rows of a batch
are kept so that masks by length are part of what is compared.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Forward:
    context: Array
    """`[batch, time, features]`"""
    weights: Array
    """`[batch, time, source_time]`, the mean of all heads."""


@dataclass(frozen=True, slots=True)
class Gradients:
    """Of a loss, given its gradient to the contexts; parameters by their names in torch."""

    queries: Array
    memory: Array
    parameters: dict[str, Array]


def valid_steps(lengths: NDArray[np.int64], num_steps: int) -> NDArray[np.bool_]:
    """`[batch, time]`"""
    return np.arange(num_steps) < lengths[:, None]


def masked_softmax(scores: Array, valid: NDArray[np.bool_]) -> Array:
    """Over the last axis; exactly 0 where not valid."""
    shifted = np.where(valid, scores, -np.inf)
    exponentials = np.exp(shifted - shifted.max(axis=-1, keepdims=True))
    return exponentials / exponentials.sum(axis=-1, keepdims=True)


def softmax_gradient(weights: Array, upstream: Array) -> Array:
    """d scores = w * (d w - sum over s of w * d w); nothing reaches where the weight is 0."""
    return weights * (upstream - (weights * upstream).sum(axis=-1, keepdims=True))


@dataclass(frozen=True, slots=True)
class Additive:
    """score = v . tanh(W q + U m)."""

    queries: Array
    """W `[hidden, queried]`"""
    keys: Array
    """U `[hidden, features]`"""
    energy: Array
    """v `[1, hidden]`"""

    def forward(self, queries: Array, memory: Array, valid: NDArray[np.bool_]) -> Forward:
        scores = self._activations(queries, memory) @ self.energy[0]  # [batch, time, source_time]
        weights = masked_softmax(scores, valid[:, None])
        return Forward(weights @ memory, weights)

    def backward(
        self, queries: Array, memory: Array, valid: NDArray[np.bool_], *, upstream: Array
    ) -> Gradients:
        weights = self.forward(queries, memory, valid).weights
        activations = self._activations(queries, memory)  # [batch, time, source_time, hidden]
        scores = softmax_gradient(weights, upstream @ memory.mT)
        inside = scores[..., None] * self.energy[0] * (1 - activations**2)
        asked, offered = inside.sum(axis=2), inside.sum(axis=1)  # [batch, time | source_time, h]
        return Gradients(
            queries=asked @ self.queries,
            memory=weights.mT @ upstream + offered @ self.keys,
            parameters={
                "queries.weight": np.einsum("bth,btq->hq", asked, queries),
                "keys.weight": np.einsum("bsh,bsf->hf", offered, memory),
                "energy.weight": np.einsum("bts,btsh->h", scores, activations)[None],
            },
        )

    def _activations(self, queries: Array, memory: Array) -> Array:
        asked = (queries @ self.queries.T)[:, :, None]
        offered = (memory @ self.keys.T)[:, None]
        return np.tanh(asked + offered)


@dataclass(frozen=True, slots=True)
class Multiplicative:
    """score = (W q) . m."""

    queries: Array
    """W `[features, queried]`"""

    def forward(self, queries: Array, memory: Array, valid: NDArray[np.bool_]) -> Forward:
        return Dot().forward(queries @ self.queries.T, memory, valid)

    def backward(
        self, queries: Array, memory: Array, valid: NDArray[np.bool_], *, upstream: Array
    ) -> Gradients:
        of_dot = Dot().backward(queries @ self.queries.T, memory, valid, upstream=upstream)
        return Gradients(
            queries=of_dot.queries @ self.queries,
            memory=of_dot.memory,
            parameters={"queries.weight": np.einsum("btf,btq->fq", of_dot.queries, queries)},
        )


@dataclass(frozen=True, slots=True)
class Dot:
    """score = q . m."""

    def forward(self, queries: Array, memory: Array, valid: NDArray[np.bool_]) -> Forward:
        weights = masked_softmax(queries @ memory.mT, valid[:, None])
        return Forward(weights @ memory, weights)

    def backward(
        self, queries: Array, memory: Array, valid: NDArray[np.bool_], *, upstream: Array
    ) -> Gradients:
        """The memory is drawn from and asked: it has a gradient by either way."""
        weights = self.forward(queries, memory, valid).weights
        scores = softmax_gradient(weights, upstream @ memory.mT)
        drawn, asked = weights.mT @ upstream, scores.mT @ queries
        return Gradients(scores @ memory, drawn + asked, {})


@dataclass(frozen=True, slots=True)
class MultiHead:
    """w = softmax(q_h . k_h / sqrt(d)) for each head; joined by one more product."""

    heads: int
    queries: Array
    """`[features, queried]`"""
    keys: Array
    values: Array
    joined: Array
    """The other three are `[features, features]`."""

    def forward(self, queries: Array, memory: Array, valid: NDArray[np.bool_]) -> Forward:
        weights = self._weights(queries, memory, valid)
        drawn = self._merged(weights @ self._parted(memory @ self.values.T))
        return Forward(drawn @ self.joined.T, weights.mean(axis=1))

    def backward(
        self, queries: Array, memory: Array, valid: NDArray[np.bool_], *, upstream: Array
    ) -> Gradients:
        weights = self._weights(queries, memory, valid)  # [batch, heads, time, source_time]
        asked, offered, values = (
            self._parted(steps @ weight.T)
            for steps, weight in (
                (queries, self.queries),
                (memory, self.keys),
                (memory, self.values),
            )
        )
        to_drawn = self._parted(upstream @ self.joined)
        scores = softmax_gradient(weights, to_drawn @ values.mT) / np.sqrt(asked.shape[-1])
        to_values = self._merged(weights.mT @ to_drawn)
        to_asked, to_offered = self._merged(scores @ offered), self._merged(scores.mT @ asked)
        drawn = self._merged(weights @ values)
        return Gradients(
            queries=to_asked @ self.queries,
            memory=to_values @ self.values + to_offered @ self.keys,
            parameters={
                "queries.weight": np.einsum("btf,btq->fq", to_asked, queries),
                "keys.weight": np.einsum("bsf,bsg->fg", to_offered, memory),
                "values.weight": np.einsum("bsf,bsg->fg", to_values, memory),
                "joined.weight": np.einsum("btf,btg->fg", upstream, drawn),
            },
        )

    def _weights(self, queries: Array, memory: Array, valid: NDArray[np.bool_]) -> Array:
        asked, offered = self._parted(queries @ self.queries.T), self._parted(memory @ self.keys.T)
        scores = asked @ offered.mT / np.sqrt(asked.shape[-1])
        return masked_softmax(scores, valid[:, None, None])

    def _parted(self, steps: Array) -> Array:
        """`[batch, time, features]` to `[batch, heads, time, head]`."""
        batch, time, _ = steps.shape
        return steps.reshape(batch, time, self.heads, -1).transpose(0, 2, 1, 3)

    def _merged(self, heads: Array) -> Array:
        batch, _, time, _ = heads.shape
        return heads.transpose(0, 2, 1, 3).reshape(batch, time, -1)

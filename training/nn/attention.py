"""Many steps become one vector: a weighted mean whose weights the steps' contents decide.

Every form compares queries with a memory, and a step outside its row gets no weight. The forms
differ in the score alone: Bahdanau's adds, Luong's multiply, and several heads do so side by side.
"""

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from training.config import AttentionKind


@dataclass(frozen=True, slots=True)
class Attended:
    context: Tensor
    """`[batch, time, features]`: what each query drew from the memory."""
    weights: Tensor
    """`[batch, time, source_time]`: where from; the mean of all heads where there are several."""


class Attention(nn.Module, ABC):
    """context_t = sum_s w_ts m_s;  w_t = softmax over valid s of score(q_t, m_s)."""

    num_outputs: int
    """Features of a context."""

    def __init__(self, num_outputs: int) -> None:
        super().__init__()
        self.num_outputs = num_outputs

    @abstractmethod
    def scores(self, queries: Tensor, memory: Tensor) -> Tensor:
        """`[batch, time, queried]` and `[batch, source_time, features]` to
        `[batch, time, source_time]`."""

    def forward(self, queries: Tensor, memory: Tensor, valid: Tensor) -> Attended:
        """`valid [batch, source_time]` bool; every row has at least one step that is."""
        # Where no weight falls, the step may be anything, even not a number.
        memory = memory.masked_fill(~valid.unsqueeze(-1), 0.0)
        weights = masked_softmax(self.scores(queries, memory), valid.unsqueeze(1))
        return Attended(weights @ memory, weights)


class AdditiveAttention(Attention):
    """score = v . tanh(W q + U m). Bahdanau, Cho and Bengio 2014 (arXiv 1409.0473), A.1.2."""

    def __init__(self, num_queried: int, num_features: int, *, hidden: int) -> None:
        super().__init__(num_features)
        self.queries = nn.Linear(num_queried, hidden, bias=False)
        self.keys = nn.Linear(num_features, hidden, bias=False)
        self.energy = nn.Linear(hidden, 1, bias=False)

    def scores(self, queries: Tensor, memory: Tensor) -> Tensor:
        asked = self.queries(queries).unsqueeze(2)  # [batch, time, 1, hidden]
        offered = self.keys(memory).unsqueeze(1)  # [batch, 1, source_time, hidden]
        return self.energy(torch.tanh(asked + offered)).squeeze(-1)


class MultiplicativeAttention(Attention):
    """score = q . W m. Luong, Pham and Manning 2015 (arXiv 1508.04025), "general"."""

    def __init__(self, num_queried: int, num_features: int) -> None:
        super().__init__(num_features)
        self.queries = nn.Linear(num_queried, num_features, bias=False)

    def scores(self, queries: Tensor, memory: Tensor) -> Tensor:
        # W goes to the queries: there are fewer of them in a step than there are of the memory.
        return self.queries(queries) @ memory.mT


class DotAttention(Attention):
    """score = q . m, of vectors as wide as each other. Luong et al. 2015, "dot"."""

    def scores(self, queries: Tensor, memory: Tensor) -> Tensor:
        return queries @ memory.mT


class MultiHeadAttention(Attention):
    """Every head scores and draws by projections of its own: w = softmax(q_h . k_h / sqrt(d)).

    Vaswani et al. 2017 (arXiv 1706.03762), section 3.2.2; without biases.
    """

    def __init__(self, num_queried: int, num_features: int, *, heads: int) -> None:
        super().__init__(num_features)
        if num_features % heads:
            raise ValueError(f"{num_features} features do not part into {heads} heads")
        self.heads = heads
        self.queries = nn.Linear(num_queried, num_features, bias=False)
        self.keys = nn.Linear(num_features, num_features, bias=False)
        self.values = nn.Linear(num_features, num_features, bias=False)
        self.joined = nn.Linear(num_features, num_features, bias=False)

    def scores(self, queries: Tensor, memory: Tensor) -> Tensor:
        """`[batch, heads, time, source_time]`"""
        asked, offered = self._parted(self.queries(queries)), self._parted(self.keys(memory))
        return asked @ offered.mT / math.sqrt(asked.shape[-1])

    def forward(self, queries: Tensor, memory: Tensor, valid: Tensor) -> Attended:
        memory = memory.masked_fill(~valid.unsqueeze(-1), 0.0)
        weights = masked_softmax(self.scores(queries, memory), valid[:, None, None])
        drawn = weights @ self._parted(self.values(memory))  # [batch, heads, time, head]
        joined = drawn.transpose(1, 2).flatten(2)  # [batch, time, features]
        return Attended(self.joined(joined), weights.mean(dim=1))

    def _parted(self, steps: Tensor) -> Tensor:
        """`[batch, time, features]` to `[batch, heads, time, features / heads]`."""
        return steps.unflatten(-1, (self.heads, -1)).transpose(1, 2)


@dataclass(frozen=True, slots=True)
class Pooled:
    vector: Tensor
    """`[batch, heads * features]`"""
    weights: Tensor
    """`[batch, time, heads]`: of a head positive and summing to 1 over a row's valid steps, 0
    elsewhere."""


class AdditivePooling(nn.Module):
    """score_t = v . tanh(W y_t + b);  w = softmax over valid steps;  pooled = sum_t w_t y_t.

    The additive score of Bahdanau, Cho and Bengio 2014 (arXiv 1409.0473) with a learned constant
    query, as Yang et al. 2016 ("Hierarchical attention networks") pool words to a sentence. With
    several heads, each has a query of its own and what they draw stands side by side, as Lin et
    al. 2017 ("A structured self-attentive sentence embedding", arXiv 1703.03130) have it.
    """

    def __init__(self, num_features: int, heads: int = 1) -> None:
        super().__init__()
        self.num_outputs = heads * num_features
        self.keys = nn.Linear(num_features, num_features)
        self.query = nn.Linear(num_features, heads, bias=False)

    def forward(self, steps: Tensor, valid: Tensor) -> Pooled:
        """`steps [batch, time, features]`, `valid [batch, time]` bool."""
        scores = self.query(torch.tanh(self.keys(steps)))  # [batch, time, heads]
        weights = masked_softmax(scores.mT, valid.unsqueeze(1))  # [batch, heads, time]
        # Where no weight falls, the step may be anything, even not a number.
        kept = steps.masked_fill(~valid.unsqueeze(-1), 0.0)
        return Pooled((weights @ kept).flatten(1), weights.mT)


def build_attention(
    kind: AttentionKind, num_queried: int, num_features: int, *, hidden: int, heads: int
) -> Attention:
    """The attention of `kind`, with queries and memory of those widths."""
    match kind:
        case "additive":
            return AdditiveAttention(num_queried, num_features, hidden=hidden)
        case "multiplicative":
            return MultiplicativeAttention(num_queried, num_features)
        case "dot":
            if num_queried != num_features:
                raise ValueError(f"dot attention: {num_queried} and {num_features} features differ")
            return DotAttention(num_features)
        case "multi_head":
            return MultiHeadAttention(num_queried, num_features, heads=heads)


def masked_softmax(scores: Tensor, valid: Tensor) -> Tensor:
    """Softmax over the last axis of what is valid; 0 elsewhere."""
    return torch.softmax(scores.masked_fill(~valid, -torch.inf), dim=-1)


def valid_steps(lengths: Tensor, num_steps: int) -> Tensor:
    """`[batch, time]` bool: which steps are before their row's end."""
    return torch.arange(num_steps, device=lengths.device) < lengths.unsqueeze(-1)

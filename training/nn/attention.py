"""Many steps become one vector: a weighted mean whose weights the steps' contents decide."""

import torch
from torch import Tensor, nn


class AdditivePooling(nn.Module):
    """score_t = v . tanh(W y_t + b);  w = softmax over valid steps;  pooled = sum_t w_t y_t.

    The additive score of Bahdanau, Cho and Bengio 2014 (arXiv 1409.0473) with a learned constant
    query, as Yang et al. 2016 ("Hierarchical attention networks") pool words to a sentence.
    """

    def __init__(self, num_features: int) -> None:
        super().__init__()
        self.keys = nn.Linear(num_features, num_features)
        self.query = nn.Linear(num_features, 1, bias=False)

    def forward(self, steps: Tensor, valid: Tensor) -> Tensor:
        """`steps [batch, time, features]`, `valid [batch, time]` bool; `[batch, features]`."""
        weights = self.weights(steps, valid)  # [batch, time]
        # Where no weight falls, the step may be anything, even not a number.
        kept = steps.masked_fill(~valid.unsqueeze(-1), 0.0)
        return (weights.unsqueeze(-1) * kept).sum(dim=1)

    def weights(self, steps: Tensor, valid: Tensor) -> Tensor:
        """`[batch, time]`: positive and summing to 1 over a row's valid steps, 0 elsewhere."""
        scores = self.query(torch.tanh(self.keys(steps))).squeeze(-1)  # [batch, time]
        return torch.softmax(scores.masked_fill(~valid, -torch.inf), dim=-1)


def valid_steps(lengths: Tensor, num_steps: int) -> Tensor:
    """`[batch, time]` bool: which steps are before their row's end."""
    return torch.arange(num_steps, device=lengths.device) < lengths.unsqueeze(-1)

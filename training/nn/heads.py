"""From one vector to scores of classes, where every class is made of finer kinds."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class GroupedClasses(nn.Module):
    """p(class) is the sum of p(kind) over its kinds: score(class) = log sum exp score(kind).

    Labels finer than those asked for teach more of what a text is about, and cost nothing later:
    who asks for classes never sees the kinds.
    """

    outside: Tensor

    def __init__(self, num_features: int, class_of_kind: Sequence[int]) -> None:
        super().__init__()
        self.num_classes = max(class_of_kind) + 1
        self.kinds = nn.Linear(num_features, len(class_of_kind))
        classes = torch.arange(self.num_classes).unsqueeze(-1)
        self.register_buffer("outside", classes != torch.tensor(class_of_kind))  # [classes, kinds]

    def forward(self, features: Tensor) -> Tensor:
        """`[batch, features]` to class scores `[batch, classes]`."""
        return self.grouped(self.kinds(features))

    def grouped(self, kinds: Tensor) -> Tensor:
        """Kind scores `[batch, kinds]` to class scores `[batch, classes]`."""
        spread = kinds.unsqueeze(1).masked_fill(self.outside, -torch.inf)
        return torch.logsumexp(spread, dim=-1)

"""The three networks: tokens to next tokens, tokens to a class, numbers to the numbers that follow.

All take `(inputs, lengths, state)` and give outputs and the new state, so that whoever calls them
may cut a sequence anywhere. The one that looks both ways has no state to give.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from service.artifact.scaling import Scaling
from training.config import ModelConfig
from training.nn.attention import AdditivePooling, Pooled, valid_steps
from training.nn.embedding import TokenEmbedding
from training.nn.heads import GroupedClasses
from training.nn.recurrent import State, stack_of

_EMBEDDING_DEVIATION = 0.1
"""Near zero: a vector that training hardly touches should hardly matter."""


@dataclass(frozen=True, slots=True)
class Prediction:
    outputs: Tensor
    state: State = ()
    attention: Tensor | None = None
    """`[batch, time, heads]`: what part each step had in the answer, where a network can tell."""


class LanguageModel(nn.Module):
    """At every step, scores of the token after it.

    One matrix may serve as the tokens' vectors and as the weights of their scores (Press and Wolf
    2017, arXiv 1608.05859): a rare token then learns from both ends.
    """

    def __init__(self, config: ModelConfig, num_tokens: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(num_tokens, config.embedding)
        self.embedding_dropout = nn.Dropout(config.embedding_dropout)
        self.stack = stack_of(config, config.embedding)
        self.dropout = nn.Dropout(config.dropout)
        self.head = nn.Linear(self.stack.num_outputs, num_tokens)
        if config.tied:
            nn.init.normal_(self.embedding.weight, std=_EMBEDDING_DEVIATION)
            self.head.weight = self.embedding.weight

    def forward(
        self, inputs: Tensor, lengths: Tensor | None = None, state: State | None = None
    ) -> Prediction:
        """Token ids `[batch, time]` to logits `[batch, time, tokens]`."""
        embedded = self.embedding_dropout(self.embedding(inputs))
        recurrence = self.stack(embedded, lengths, state)
        return Prediction(self.head(self.dropout(recurrence.outputs)), recurrence.state)


class SequenceClassifier(nn.Module):
    """One score for every class, from steps weighed by additive attention."""

    def __init__(
        self,
        config: ModelConfig,
        num_tokens: int,
        class_of_kind: Sequence[int],
        *,
        unknown: int,
        spelling: Tensor | None = None,
    ) -> None:
        super().__init__()
        self.unknown = unknown
        self.token_dropout = config.token_dropout
        self.embedding = TokenEmbedding(num_tokens, config.embedding, spelling)
        self.embedding_dropout = nn.Dropout(config.embedding_dropout)
        self.stack = stack_of(config, config.embedding)
        self.pools_tokens = config.pools_tokens
        num_pooled = self.stack.num_outputs + (config.embedding if config.pools_tokens else 0)
        self.pooling = AdditivePooling(num_pooled, config.heads)
        self.dropout = nn.Dropout(config.dropout)
        self.head = GroupedClasses(self.pooling.num_outputs, class_of_kind)

    def forward(
        self, inputs: Tensor, lengths: Tensor | None = None, state: State | None = None
    ) -> Prediction:
        """Token ids `[batch, time]` to logits `[batch, classes]`; starts from the zero state."""
        pooled = self._pooled(inputs, lengths)
        return Prediction(self.head(self.dropout(pooled.vector)), attention=pooled.weights)

    def kinds(self, inputs: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Scores of the finer kinds that classes are made of, `[batch, kinds]`."""
        return self.head.kinds(self.dropout(self._pooled(inputs, lengths).vector))

    def _pooled(self, inputs: Tensor, lengths: Tensor | None) -> Pooled:
        if self.training and self.token_dropout > 0:
            forgotten = torch.rand(inputs.shape, device=inputs.device) < self.token_dropout
            inputs = inputs.masked_fill(forgotten, self.unknown)
        if lengths is None:
            lengths = torch.full((inputs.shape[0],), inputs.shape[1])
        embedded = self.embedding_dropout(self.embedding(inputs))
        steps = self.pooled_steps(embedded, self.stack(embedded, lengths).outputs)
        return self.pooling(steps, valid_steps(lengths.to(inputs.device), inputs.shape[1]))

    def pooled_steps(self, embedded: Tensor, outputs: Tensor) -> Tensor:
        """What attention draws from, `[batch, time, pooled]`."""
        return torch.cat([outputs, embedded], dim=-1) if self.pools_tokens else outputs


class Forecaster(nn.Module):
    """forecast = level + A (recent - level) + what the recurrent layers add, for every variable.

    `recent` are the last rows up to the step and `level` is their mean; A, shared by all
    variables, begins as half of the last rows repeated. The recurrent layers see distances from
    the level and from the oldest recent row, never the level itself, so that a year that runs
    warmer than the training year is nothing new. (Taking the level out first: Kim et al. 2022,
    "Reversible instance normalization"; the linear reading: Zeng et al. 2023, arXiv 2205.13504.)

    Inputs and forecasts are in the data's own units; all in between is scaled. The recent rows
    are state, beside that of the recurrent layers; before the first row they are the mean.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, config: ModelConfig, scaling: Scaling, horizon: int) -> None:
        super().__init__()
        self.num_features = len(scaling.mean)
        self.horizon = horizon
        self.recent_steps = config.recent_steps
        self.register_buffer("mean", torch.tensor(scaling.mean))
        self.register_buffer("deviation", torch.tensor(scaling.deviation))
        self.reading = nn.Linear(self.recent_steps, horizon, bias=False)
        self.stack = stack_of(config, 2 * self.num_features)
        self.dropout = nn.Dropout(config.dropout)
        self.head = nn.Linear(self.stack.num_outputs, horizon * self.num_features)
        with torch.no_grad():
            self.reading.weight.zero_()
            self.reading.weight[:, -horizon:] = torch.eye(horizon) / 2
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def initial_state(self, num_rows: int) -> State:
        """The recurrent layers' zeros, and recent rows `[recent, batch, features]`."""
        recent = self.mean.new_zeros(self.recent_steps, num_rows, self.num_features)
        return (*self.stack.initial_state(num_rows), recent)

    def forward(
        self, inputs: Tensor, lengths: Tensor | None = None, state: State | None = None
    ) -> Prediction:
        """`[batch, time, features]` to `[batch, time, horizon, features]`."""
        state = self.initial_state(inputs.shape[0]) if state is None else state
        scaled = (inputs - self.mean) / self.deviation
        rows = torch.cat([state[-1].transpose(0, 1), scaled], dim=1)  # [batch, recent + time, f]
        windows = rows.unfold(1, self.recent_steps, 1)[:, 1:]  # [batch, time, features, recent]
        level = windows.mean(dim=-1)  # [batch, time, features]
        anchor = level.unsqueeze(-1) + self.reading(windows - level.unsqueeze(-1))

        distances = torch.cat([scaled - level, scaled - windows[..., 0]], dim=-1)
        recurrence = self.stack(distances, lengths, state[:-1])
        added = self.head(self.dropout(recurrence.outputs))
        added = added.unflatten(-1, (self.horizon, self.num_features))
        forecast = (anchor.transpose(2, 3) + added) * self.deviation + self.mean
        recent = last_rows(rows, lengths, self.recent_steps)
        return Prediction(forecast, (*recurrence.state, recent))


def last_rows(rows: Tensor, lengths: Tensor | None, count: int) -> Tensor:
    """The `count` rows before each row's end, `[count, batch, features]`.

    `rows [batch, count + time, features]` begin with `count` rows from before the first step.
    """
    if lengths is None:
        return rows[:, -count:].transpose(0, 1)
    places = lengths.to(rows.device) + torch.arange(count, device=rows.device).unsqueeze(-1)
    return rows.transpose(0, 1).gather(0, places.unsqueeze(-1).expand(-1, -1, rows.shape[2]))

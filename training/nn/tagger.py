"""Tokens to a tag each, and where asked for to one label of the whole sequence as well."""

import torch
from torch import Tensor, nn

from training.config import ModelConfig
from training.nn.attention import AdditivePooling, valid_steps
from training.nn.embedding import TokenEmbedding
from training.nn.models import Prediction
from training.nn.recurrent import State, stack_of


class Tagger(nn.Module):
    """At every step, scores of its tag; then scores of the whole sequence's intent, if any.

    One that looks both ways knows the sequence's end at every step: its intent, pooled by
    attention, is the same at all of them. A causal one says at each step what it makes of the
    sequence so far.
    """

    def __init__(
        self,
        config: ModelConfig,
        num_tokens: int,
        *,
        num_tags: int,
        num_intents: int = 0,
        unknown: int,
        spelling: Tensor | None = None,
    ) -> None:
        super().__init__()
        self.unknown = unknown
        self.token_dropout = config.token_dropout
        self.num_tags, self.num_intents = num_tags, num_intents
        self.embedding = TokenEmbedding(num_tokens, config.embedding, spelling)
        self.embedding_dropout = nn.Dropout(config.embedding_dropout)
        self.stack = stack_of(config, config.embedding)
        self.dropout = nn.Dropout(config.dropout)
        self.head = nn.Linear(self.stack.num_outputs, num_tags)
        self.pooling: AdditivePooling | None = None
        self.intent: nn.Linear | None = None
        if num_intents and config.bidirectional:
            self.pooling = AdditivePooling(self.stack.num_outputs, config.heads)
            self.intent = nn.Linear(self.pooling.num_outputs, num_intents)
        elif num_intents:
            self.intent = nn.Linear(self.stack.num_outputs, num_intents)

    @property
    def num_scores(self) -> int:
        return self.num_tags + self.num_intents

    def forward(
        self, inputs: Tensor, lengths: Tensor | None = None, state: State | None = None
    ) -> Prediction:
        """Token ids `[batch, time]` to scores `[batch, time, tags + intents]`."""
        if self.training and self.token_dropout > 0:
            forgotten = torch.rand(inputs.shape, device=inputs.device) < self.token_dropout
            inputs = inputs.masked_fill(forgotten, self.unknown)
        embedded = self.embedding_dropout(self.embedding(inputs))
        recurrence = self.stack(embedded, lengths, state)
        steps = self.dropout(recurrence.outputs)  # [batch, time, features]
        scores, attention = self.head(steps), None
        if self.intent is not None and self.pooling is None:
            scores = torch.cat([scores, self.intent(steps)], dim=-1)
        elif self.intent is not None and self.pooling is not None:
            batch, time = steps.shape[:2]
            lengths = torch.full((batch,), time) if lengths is None else lengths
            pooled = self.pooling(steps, valid_steps(lengths.to(steps.device), time))
            intents = self.intent(pooled.vector).unsqueeze(1).expand(-1, time, -1)
            scores, attention = torch.cat([scores, intents], dim=-1), pooled.weights
        causal = self.stack.directions == 1
        return Prediction(scores, recurrence.state if causal else (), attention)

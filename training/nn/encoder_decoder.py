"""A text is read whole, then another is written step by step, with the first one to look at or
with what its reader's last state says alone.

The decoder has two recurrent parts: the lower reads what was written, its outputs ask the memory,
and the upper goes on from what they drew. So a whole target is learned in one call, without the
loop over steps that input feeding needs, and the upper part still knows what was drawn before.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from training.config import ModelConfig
from training.nn.attention import build_attention, valid_steps
from training.nn.recurrent import RecurrentStack, State, stack_of


@dataclass(frozen=True, slots=True)
class Encoded:
    memory: Tensor
    """`[batch, source_time, features]`"""
    state: State
    """Where the decoder begins."""


@dataclass(frozen=True, slots=True)
class Decoded:
    logits: Tensor
    """`[batch, time, tokens]`: of the token after each."""
    state: State
    attention: Tensor | None
    """`[batch, time, source_time]`; None where the decoder does not look back."""


class TokenEmbedding(nn.Embedding):
    """Vectors of unit variance from weights small enough to be an output matrix too.

    What is read is the weight times the root of its width (Vaswani et al. 2017, section 3.4): of a
    tied matrix the same numbers must not saturate the scores.
    """

    def __init__(self, num_tokens: int, size: int) -> None:
        super().__init__(num_tokens, size)
        self.scale = math.sqrt(size)
        nn.init.normal_(self.weight, std=1 / self.scale)

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 - torch's own name
        return super().forward(input) * self.scale


class Encoder(nn.Module):
    """Both directions over the source; a bridge gives the decoder its first state.

    The bridge: h_0 = tanh(W [forward end; backward end]), as Bahdanau et al. 2014, A.2.2, have it,
    for every array of the decoder's state.
    """

    def __init__(self, config: ModelConfig, num_tokens: int) -> None:
        super().__init__()
        self.embedding = TokenEmbedding(num_tokens, config.embedding)
        self.embedding_dropout = nn.Dropout(config.embedding_dropout)
        self.stack = stack_of(config, config.embedding)
        self.dropout = nn.Dropout(config.dropout)
        self.directions = 2 if config.bidirectional else 1
        self.num_states = 2 * self.stack.num_states
        """Arrays of the decoder's state: the lower part's, then the upper's."""
        self.bridge = nn.Linear(self.directions * config.hidden, self.num_states * config.hidden)

    def forward(self, tokens: Tensor, lengths: Tensor) -> Encoded:
        """Source ids `[batch, source_time]`, their lengths `[batch]`."""
        read = self.stack(self.embedding_dropout(self.embedding(tokens)), lengths)
        last = read.state[0][-self.directions :]  # [directions, batch, hidden] of the top layer
        bridged = torch.tanh(self.bridge(last.transpose(0, 1).flatten(1)))
        state = tuple(part.unsqueeze(0) for part in bridged.chunk(self.num_states, dim=-1))
        return Encoded(self.dropout(read.outputs), state)


class Decoder(nn.Module):
    """One more token of the target from each, with the memory as read-only context.

    Tied, the last product is with the embedding itself (Press and Wolf 2017, arXiv 1608.05859).
    """

    def __init__(self, config: ModelConfig, num_tokens: int, num_features: int) -> None:
        super().__init__()
        self.embedding = TokenEmbedding(num_tokens, config.embedding)
        self.embedding_dropout = nn.Dropout(config.embedding_dropout)
        self.dropout = nn.Dropout(config.dropout)
        self.lower = RecurrentStack(config.cell, config.embedding, config.hidden)
        self.attention = None
        num_drawn = 0
        if config.attention is not None:
            self.attention = build_attention(
                config.attention,
                config.hidden,
                num_features,
                hidden=config.hidden,
                heads=config.heads,
            )
            num_drawn = self.attention.num_outputs
        self.upper = RecurrentStack(config.cell, config.hidden + num_drawn, config.hidden)
        self.readout = nn.Linear(config.hidden + num_drawn, config.embedding)
        self.head = nn.Linear(config.embedding, num_tokens)
        if config.tied:
            self.head.weight = self.embedding.weight

    def forward(
        self, tokens: Tensor, state: State, memory: Tensor, *, valid: Tensor, lengths: Tensor | None
    ) -> Decoded:
        """Ids `[batch, time]`; the encoder's `memory`, and which of its steps are `valid`."""
        half = len(state) // 2
        embedded = self.embedding_dropout(self.embedding(tokens))
        lower = self.lower(embedded, lengths, state[:half])
        steps, attended = self.dropout(lower.outputs), None
        seen = [steps]
        if self.attention is not None:
            attended = self.attention(steps, memory, valid)
            seen.append(attended.context)
        upper = self.upper(torch.cat(seen, dim=-1), lengths, state[half:])
        told = torch.cat([self.dropout(upper.outputs), *seen[1:]], dim=-1)
        logits = self.head(self.dropout(torch.tanh(self.readout(told))))
        weights = None if attended is None else attended.weights
        return Decoded(logits, (*lower.state, *upper.state), weights)


class EncoderDecoder(nn.Module):
    """Both, as training runs them: the target is given, and every step is told the one before."""

    def __init__(
        self, config: ModelConfig, *, num_source_tokens: int, num_target_tokens: int
    ) -> None:
        super().__init__()
        self.encoder = Encoder(config, num_source_tokens)
        self.decoder = Decoder(config, num_target_tokens, self.encoder.stack.num_outputs)

    def forward(self, source: Tensor, lengths: Tensor, target: Tensor) -> Decoded:
        """Source ids `[batch, source_time]` and target ids `[batch, time]`, the start included."""
        encoded = self.encoder(source, lengths)
        valid = valid_steps(lengths.to(source.device), source.shape[1])
        return self.decoder(target, encoded.state, encoded.memory, valid=valid, lengths=None)

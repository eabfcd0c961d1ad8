"""Samples in, scores out, hop by hop: log-mel energies through recurrent layers; causal.

What a frame needs of the samples before it is state, beside that of the layers.
"""

import torch
from torch import Tensor, nn

from training.config import ModelConfig
from training.nn.features import Framing, LogMel
from training.nn.models import Prediction, last_rows
from training.nn.recurrent import State, causal_stack_of


class Listener(nn.Module):
    """Scores of `num_outputs` classes, or of the blank and the labels, at every hop."""

    def __init__(self, config: ModelConfig, framing: Framing, *, num_outputs: int) -> None:
        super().__init__()
        self.framing = framing
        self.features = LogMel(framing)
        self.stack = causal_stack_of(config, framing.mels)
        self.dropout = nn.Dropout(config.dropout)
        self.head = nn.Linear(self.stack.num_outputs, num_outputs)

    def initial_state(self, num_rows: int) -> State:
        """The recurrent layers' zeros, and silent hops `[hops_before, batch, hop]`."""
        framing, state = self.framing, self.stack.initial_state(num_rows)
        return (*state, state[0].new_zeros(framing.hops_before, num_rows, framing.hop))

    def forward(
        self, inputs: Tensor, lengths: Tensor | None = None, state: State | None = None
    ) -> Prediction:
        """Samples `[batch, time, hop]` to `[batch, time, outputs]`."""
        state = self.initial_state(inputs.shape[0]) if state is None else state
        hops = torch.cat([state[-1].transpose(0, 1), inputs], dim=1)
        recurrence = self.stack(self.features(hops), lengths, state[:-1])
        outputs = self.head(self.dropout(recurrence.outputs))
        overlap = last_rows(hops, lengths, self.framing.hops_before)
        return Prediction(outputs, (*recurrence.state, overlap))

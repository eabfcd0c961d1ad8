"""Samples in, scores out, hop by hop: log-mel energies through recurrent layers; causal.

What a frame needs of the samples before it is state, beside that of the layers.
"""

import torch
from torch import Tensor, nn

from training.config import ModelConfig
from training.nn.features import Framing, LogMel
from training.nn.models import Prediction
from training.nn.recurrent import RecurrentStack, State


class Listener(nn.Module):
    """Scores of `num_outputs` classes, or of the blank and the labels, at every hop."""

    def __init__(self, config: ModelConfig, framing: Framing, *, num_outputs: int) -> None:
        super().__init__()
        self.framing = framing
        self.features = LogMel(framing)
        self.stack = RecurrentStack(
            config.cell,
            framing.mels,
            config.hidden,
            layers=config.layers,
            dropout=config.dropout,
            residual=config.residual,
            layer_norm=config.layer_norm,
        )
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
        return Prediction(outputs, (*recurrence.state, self._overlap(hops, lengths)))

    def _overlap(self, hops: Tensor, lengths: Tensor | None) -> Tensor:
        """The hops before each row's end, which its next frames begin with."""
        count = self.framing.hops_before
        if lengths is None:
            return hops[:, -count:].transpose(0, 1)
        places = lengths.to(hops.device) + torch.arange(count, device=hops.device).unsqueeze(-1)
        return hops.transpose(0, 1).gather(0, places.unsqueeze(-1).expand(-1, -1, hops.shape[2]))

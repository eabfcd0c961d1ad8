"""Recurrent layers over padded rows: padding is never seen, state is argument and result.

Layer l reads what layer l - 1 gives:

    y = combine(forward h, backward h)          # [h, h], h + h or (h + h) / 2; h of one direction
    y = dropout(y)                              # in training, not of the last layer
    y = x + y                                   # with `residual`, of every layer but the first
    y = normalised(y) * gain + shift            # with `layer_norm`, over the features of a step

Residual connections: He et al. 2016 (arXiv 1512.03385), in deep LSTMs Wu et al. 2016 (arXiv
1609.08144); layer normalisation: Ba, Kiros and Hinton 2016 (arXiv 1607.06450).
"""

from dataclasses import replace
from typing import cast

import torch
from torch import Tensor, nn

from training.config import Cell, Combine, ModelConfig
from training.nn.attention import valid_steps
from training.nn.cells import WITH_MEMORY
from training.nn.layers import Layer, Recurrence, State, make_layer

__all__ = ["Recurrence", "RecurrentStack", "State"]


class RecurrentStack(nn.Module):
    """Layers of one cell, in one direction or both."""

    def __init__(
        self,
        cell: Cell,
        num_features: int,
        hidden: int,
        *,
        layers: int = 1,
        bidirectional: bool = False,
        bias: bool = True,
        dropout: float = 0.0,
        combine: Combine = "concat",
        residual: bool = False,
        layer_norm: bool = False,
    ) -> None:
        super().__init__()
        self.cell: Cell = cell
        self.num_features = num_features
        self.hidden = hidden
        self.num_layers = layers
        self.directions = 2 if bidirectional else 1
        self.bias = bias
        self.combine: Combine = combine
        self.residual = residual
        widths = [num_features, *[self.num_outputs] * (layers - 1)]
        self.layers = nn.ModuleList(
            make_layer(cell, width, hidden, bidirectional=bidirectional, bias=bias)
            for width in widths
        )
        norms = layers if layer_norm else 0
        self.norms = nn.ModuleList(nn.LayerNorm(self.num_outputs) for _ in range(norms))
        self.dropout = nn.Dropout(dropout)

    @property
    def num_outputs(self) -> int:
        return self.hidden * (self.directions if self.combine == "concat" else 1)

    @property
    def num_states(self) -> int:
        """Tensors of state: h, and c of an LSTM."""
        return 2 if self.cell in WITH_MEMORY else 1

    def layer(self, number: int) -> Layer:
        return cast("Layer", self.layers[number])

    def norm(self, number: int) -> nn.LayerNorm:
        """Of a stack with `layer_norm`."""
        return cast("nn.LayerNorm", self.norms[number])

    def initial_state(self, num_rows: int) -> State:
        """Zeros on the weights' device."""
        shape = (self.num_layers * self.directions, num_rows, self.hidden)
        zeros = next(self.parameters()).new_zeros(shape)
        return (zeros,) * self.num_states

    def forward(
        self, inputs: Tensor, lengths: Tensor | None = None, state: State | None = None
    ) -> Recurrence:
        """`inputs [batch, time, features]`; `lengths [batch]` on the CPU, None for full rows."""
        initial = self.initial_state(inputs.shape[0]) if state is None else state
        parts = zip(*(tensor.split(self.directions) for tensor in initial), strict=True)
        steps, finals = inputs, list[State]()
        for number, part in enumerate(parts):
            ran = self.layer(number)(steps, lengths, part)
            finals.append(ran.state)
            steps = self._passed_on(number, steps, ran.outputs)
        if self.norms and lengths is not None:
            valid = valid_steps(lengths.to(steps.device), steps.shape[1])
            steps = steps.masked_fill(~valid.unsqueeze(-1), 0.0)
        return Recurrence(steps, tuple(map(torch.cat, zip(*finals, strict=True))))

    def _passed_on(self, number: int, read: Tensor, outputs: Tensor) -> Tensor:
        """What the next layer reads, `[batch, time, num_outputs]`."""
        if self.directions == 2 and self.combine != "concat":
            sides = outputs.unflatten(-1, (2, self.hidden))
            outputs = sides.sum(-2) if self.combine == "sum" else sides.mean(-2)
        if number + 1 < self.num_layers:
            outputs = self.dropout(outputs)
        if self.residual and number > 0:
            outputs = read + outputs
        return self.norm(number)(outputs) if self.norms else outputs


def stack_of(config: ModelConfig, num_features: int) -> RecurrentStack:
    """As the configuration has it, over `num_features`."""
    return RecurrentStack(
        config.cell,
        num_features,
        config.hidden,
        layers=config.layers,
        bidirectional=config.bidirectional,
        dropout=config.dropout,
        combine=config.combine,
        residual=config.residual,
        layer_norm=config.layer_norm,
    )


def causal_stack_of(config: ModelConfig, num_features: int) -> RecurrentStack:
    """The same in one direction, whatever the configuration says: what it tells streams."""
    return stack_of(replace(config, bidirectional=False), num_features)

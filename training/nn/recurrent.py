"""Recurrent layers over padded rows: padding is never seen, state is argument and result."""

from dataclasses import dataclass
from typing import cast

from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

from training.config import Cell

State = tuple[Tensor, ...]
"""`(h,)`, or `(h, c)` of an LSTM; each `[layers * directions, batch, hidden]`."""


@dataclass(frozen=True, slots=True)
class Recurrence:
    outputs: Tensor
    """`[batch, time, directions * hidden]`, zero past a row's length."""
    state: State
    """After each row's last valid step."""


class RecurrentStack(nn.Module):
    """RNN, LSTM or GRU layers, in one direction or both, with dropout between them."""

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
    ) -> None:
        super().__init__()
        self.cell: Cell = cell
        self.fused = _fused(
            cell,
            num_features,
            hidden,
            layers=layers,
            bidirectional=bidirectional,
            bias=bias,
            dropout=dropout if layers > 1 else 0.0,
        )

    @property
    def num_outputs(self) -> int:
        return self.fused.hidden_size * (2 if self.fused.bidirectional else 1)

    def initial_state(self, num_rows: int) -> State:
        """Zeros on the weights' device."""
        directions = 2 if self.fused.bidirectional else 1
        shape = (self.fused.num_layers * directions, num_rows, self.fused.hidden_size)
        zeros = next(self.fused.parameters()).new_zeros(shape)
        return (zeros, zeros) if self.cell == "lstm" else (zeros,)

    def forward(
        self, inputs: Tensor, lengths: Tensor | None = None, state: State | None = None
    ) -> Recurrence:
        """`inputs [batch, time, features]`; `lengths [batch]` on the CPU, None for full rows."""
        initial = self.initial_state(inputs.shape[0]) if state is None else state
        given = initial if self.cell == "lstm" else initial[0]
        if lengths is None:
            outputs, final = self.fused(inputs, given)
        else:
            packed = pack_padded_sequence(inputs, lengths, batch_first=True, enforce_sorted=False)
            packed_outputs, final = self.fused(packed, given)
            outputs, _ = pad_packed_sequence(
                cast("PackedSequence", packed_outputs),
                batch_first=True,
                total_length=inputs.shape[1],
            )
        return Recurrence(outputs, tuple(final) if self.cell == "lstm" else (final,))


def _fused(
    cell: Cell,
    num_features: int,
    hidden: int,
    *,
    layers: int,
    bidirectional: bool,
    bias: bool,
    dropout: float,
) -> nn.RNNBase:
    match cell:
        case "lstm":
            kind = nn.LSTM
        case "gru":
            kind = nn.GRU
        case "rnn_tanh" | "rnn_relu":
            kind = nn.RNN
    extra = {"nonlinearity": cell.removeprefix("rnn_")} if kind is nn.RNN else {}
    return kind(
        num_features,
        hidden,
        num_layers=layers,
        bidirectional=bidirectional,
        bias=bias,
        dropout=dropout,
        batch_first=True,
        **extra,
    )

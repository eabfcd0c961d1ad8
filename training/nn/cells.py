"""A recurrent cell is a pure step: input and state go in, the new state comes out.

These are the equations, written to be read and tested against; `recurrent.py` runs torch's fused
kernels, which compute the same. Weights stack the gates in torch's order, `[gates * hidden, ...]`.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import linear


@dataclass(frozen=True, slots=True)
class CellWeights:
    """One layer in one direction; `gates` is 1 (RNN), 3 (GRU) or 4 (LSTM)."""

    input: Tensor
    """`[gates * hidden, features]`"""
    recurrent: Tensor
    """`[gates * hidden, hidden]`"""
    input_bias: Tensor | None = None
    """`[gates * hidden]`"""
    recurrent_bias: Tensor | None = None


@dataclass(frozen=True, slots=True)
class LstmState:
    h: Tensor
    """`[batch, hidden]`, the layer's output."""
    c: Tensor
    """`[batch, hidden]`, the memory."""


def rnn_step(x: Tensor, h: Tensor, weights: CellWeights, *, relu: bool = False) -> Tensor:
    """h' = tanh(W x + b + R h + d), or with max(0, .) for tanh.

    `x [batch, features]`, `h [batch, hidden]`. Elman 1990, "Finding structure in time"; the
    rectified form: Le, Jaitly, Hinton 2015 (arXiv 1504.00941).
    """
    summed = _from_input(x, weights) + _from_state(h, weights)
    return torch.relu(summed) if relu else torch.tanh(summed)


def lstm_step(x: Tensor, state: LstmState, weights: CellWeights) -> LstmState:
    """i, f, o = sigmoid(.), g = tanh(.);  c' = f * c + i * g;  h' = o * tanh(c').

    Each of i, f, g, o is of its own W x + b + R h + d. Hochreiter and Schmidhuber 1997, "Long
    short-term memory", with the forget gate of Gers, Schmidhuber and Cummins 2000; no peepholes.
    """
    summed = _from_input(x, weights) + _from_state(state.h, weights)
    i, f, g, o = summed.chunk(4, dim=-1)  # each [batch, hidden]
    c = torch.sigmoid(f) * state.c + torch.sigmoid(i) * torch.tanh(g)
    return LstmState(torch.sigmoid(o) * torch.tanh(c), c)


def gru_step(x: Tensor, h: Tensor, weights: CellWeights) -> Tensor:
    """r, z = sigmoid(.);  n = tanh(W x + b + r * (R h + d));  h' = (1 - z) * n + z * h.

    Cho et al. 2014 (arXiv 1406.1078) multiply r into h before R; this form multiplies it after,
    as cuDNN and torch do, and is `linear_before_reset=1` in ONNX.
    """
    from_x, from_h = _from_input(x, weights), _from_state(h, weights)
    r_x, z_x, n_x = from_x.chunk(3, dim=-1)  # each [batch, hidden]
    r_h, z_h, n_h = from_h.chunk(3, dim=-1)
    r, z = torch.sigmoid(r_x + r_h), torch.sigmoid(z_x + z_h)
    n = torch.tanh(n_x + r * n_h)
    return (1 - z) * n + z * h


def _from_input(x: Tensor, weights: CellWeights) -> Tensor:
    return linear(x, weights.input, weights.input_bias)


def _from_state(h: Tensor, weights: CellWeights) -> Tensor:
    return linear(h, weights.recurrent, weights.recurrent_bias)

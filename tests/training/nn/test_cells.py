"""The equations of the cells are those that torch's fused layers compute."""

import pytest
import torch
from torch import Tensor, nn

from training.nn.cells import CellWeights, LstmState, gru_step, lstm_step, rnn_step

ROWS, STEPS, FEATURES, HIDDEN = 3, 7, 5, 4
ROUNDING = 1e-6
"""float32, a handful of terms in another order."""


def weights_of(layer: nn.RNNBase) -> CellWeights:
    return CellWeights(layer.weight_ih_l0, layer.weight_hh_l0, layer.bias_ih_l0, layer.bias_hh_l0)


def inputs() -> Tensor:
    return torch.randn(ROWS, STEPS, FEATURES)


@pytest.mark.parametrize("nonlinearity", ["tanh", "relu"])
def test_rnn_step_chained_over_time_is_torch_rnn(nonlinearity: str):
    torch.manual_seed(0)
    layer = nn.RNN(FEATURES, HIDDEN, nonlinearity=nonlinearity, batch_first=True)
    x, h = inputs(), torch.randn(ROWS, HIDDEN)
    expected, _ = layer(x, h.unsqueeze(0))
    for step in range(STEPS):
        h = rnn_step(x[:, step], h, weights_of(layer), relu=nonlinearity == "relu")
        torch.testing.assert_close(h, expected[:, step], atol=ROUNDING, rtol=0)


def test_lstm_step_chained_over_time_is_torch_lstm():
    torch.manual_seed(0)
    layer = nn.LSTM(FEATURES, HIDDEN, batch_first=True)
    x = inputs()
    state = LstmState(torch.randn(ROWS, HIDDEN), torch.randn(ROWS, HIDDEN))
    expected, (_, c) = layer(x, (state.h.unsqueeze(0), state.c.unsqueeze(0)))
    for step in range(STEPS):
        state = lstm_step(x[:, step], state, weights_of(layer))
        torch.testing.assert_close(state.h, expected[:, step], atol=ROUNDING, rtol=0)
    torch.testing.assert_close(state.c, c[0], atol=ROUNDING, rtol=0)


def test_gru_step_chained_over_time_is_torch_gru():
    torch.manual_seed(0)
    layer = nn.GRU(FEATURES, HIDDEN, batch_first=True)
    x, h = inputs(), torch.randn(ROWS, HIDDEN)
    expected, _ = layer(x, h.unsqueeze(0))
    for step in range(STEPS):
        h = gru_step(x[:, step], h, weights_of(layer))
        torch.testing.assert_close(h, expected[:, step], atol=ROUNDING, rtol=0)


def test_a_step_without_bias_is_torch_without_bias():
    torch.manual_seed(0)
    layer = nn.GRU(FEATURES, HIDDEN, bias=False, batch_first=True)
    x, h = inputs(), torch.zeros(ROWS, HIDDEN)
    stepped = gru_step(x[:, 0], h, CellWeights(layer.weight_ih_l0, layer.weight_hh_l0))
    torch.testing.assert_close(stepped, layer(x[:, :1])[0][:, 0], atol=ROUNDING, rtol=0)


def test_gradients_reach_the_first_step_through_every_cell():
    weights = [torch.randn(gates * HIDDEN, FEATURES) for gates in (1, 3, 4)]
    recurrent = [torch.randn(gates * HIDDEN, HIDDEN) for gates in (1, 3, 4)]
    rnn, gru, lstm = (CellWeights(w, r) for w, r in zip(weights, recurrent, strict=True))
    x = inputs().requires_grad_()
    h, g = torch.zeros(ROWS, HIDDEN), torch.zeros(ROWS, HIDDEN)
    s = LstmState(torch.zeros(ROWS, HIDDEN), torch.zeros(ROWS, HIDDEN))
    for step in range(STEPS):
        h = rnn_step(x[:, step], h, rnn)
        g = gru_step(x[:, step], g, gru)
        s = lstm_step(x[:, step], s, lstm)
    for last in (h, g, s.h):
        (gradient,) = torch.autograd.grad(last.sum(), x, retain_graph=True)
        assert (gradient[:, 0].abs().sum(dim=-1) > 0).all()

"""A recurrent cell is a pure step: input and state go in, the new state comes out.

These are the equations in torch, written to be read and tested against; `layers.py` runs them over
time, by torch's fused kernels where there are any. Weights stack the gates in torch's order,
`[gates * hidden, ...]`. `training/NETWORKS.md` explains them, `reference/` has them in NumPy.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn.functional import layer_norm, linear, softplus

from training.config import Cell

NUM_GATES: Mapping[Cell, int] = {
    "rnn_tanh": 1,
    "rnn_relu": 1,
    "lstm": 4,
    "gru": 3,
    "gru_cho": 3,
    "min_gru": 2,
    "min_lstm": 3,
    "ln_lstm": 4,
    "ln_gru": 3,
}

WITH_MEMORY: frozenset[Cell] = frozenset({"lstm", "ln_lstm"})
"""The cells that carry c beside h."""

NORMALISED: Mapping[Cell, tuple[int, ...]] = {"ln_lstm": (4,), "ln_gru": (2, 1)}
"""Of cells with norms inside: how many gates are normalised together, in their order."""


EPSILON = 1e-5
"""Added to the variance by the norms inside of cells, as by those between layers."""


@dataclass(frozen=True, slots=True)
class GateNorms:
    """Gains of the norms inside a cell; their shifts are its biases."""

    input: Tensor
    """`[gates * hidden]`"""
    recurrent: Tensor
    """`[gates * hidden]`"""
    memory: Tensor | None = None
    """`[hidden]`, of an LSTM."""
    memory_bias: Tensor | None = None
    """`[hidden]`"""


@dataclass(frozen=True, slots=True)
class CellWeights:
    """One layer in one direction; `NUM_GATES` says how many gates a cell stacks."""

    input: Tensor
    """`[gates * hidden, features]`"""
    recurrent: Tensor | None = None
    """`[gates * hidden, hidden]`; None of a cell whose gates do not see the state."""
    input_bias: Tensor | None = None
    """`[gates * hidden]`"""
    recurrent_bias: Tensor | None = None
    """`[gates * hidden]`; None of a cell that has one bias."""
    norms: GateNorms | None = None
    """Of the cells in `NORMALISED`."""


@dataclass(frozen=True, slots=True)
class LstmState:
    h: Tensor
    """`[batch, hidden]`, the layer's output."""
    c: Tensor
    """`[batch, hidden]`, the memory."""


@dataclass(frozen=True, slots=True)
class Decay:
    """A step that is linear in the state: h' = kept * h + added."""

    kept: Tensor
    """`[..., hidden]`, each in (0, 1)."""
    added: Tensor
    """`[..., hidden]`"""


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

    Cho et al. 2014 (arXiv 1406.1078) multiply r into h before R, see `gru_cho_step`; this form
    multiplies it after, as cuDNN and torch do, and is `linear_before_reset=1` in ONNX.
    """
    from_x, from_h = _from_input(x, weights), _from_state(h, weights)
    r_x, z_x, n_x = from_x.chunk(3, dim=-1)  # each [batch, hidden]
    r_h, z_h, n_h = from_h.chunk(3, dim=-1)
    r, z = torch.sigmoid(r_x + r_h), torch.sigmoid(z_x + z_h)
    n = torch.tanh(n_x + r * n_h)
    return (1 - z) * n + z * h


def gru_cho_step(x: Tensor, h: Tensor, weights: CellWeights) -> Tensor:
    """r, z = sigmoid(W x + R h + b);  n = tanh(W x + R (r * h) + b);  h' = (1 - z) * n + z * h.

    Cho et al. 2014 (arXiv 1406.1078), equations 5 to 8; `linear_before_reset=0` in ONNX.
    """
    return gru_cho_after(_from_input(x, weights), h, weights)


def gru_cho_after(from_x: Tensor, h: Tensor, weights: CellWeights) -> Tensor:
    """The step behind the input's product `from_x [batch, 3 * hidden]`, its bias in it."""
    assert weights.recurrent is not None
    hidden = h.shape[-1]
    gates, new = weights.recurrent.split([2 * hidden, hidden])
    rz_x, n_x = from_x.split([2 * hidden, hidden], dim=-1)
    r, z = torch.sigmoid(rz_x + linear(h, gates)).chunk(2, dim=-1)
    n = torch.tanh(n_x + linear(r * h, new))
    return n + z * (h - n)


def ln_lstm_step(x: Tensor, state: LstmState, weights: CellWeights) -> LstmState:
    """As `lstm_step`, of LN(W x) + b + LN(R h) + d;  h' = o * tanh(LN(c')).

    LN takes the mean of its vector off and divides by its deviation, then multiplies by a gain of
    its own; the vector is that of all four gates. Ba, Kiros and Hinton 2016 (arXiv 1607.06450),
    equations 20 to 22.
    """
    return ln_lstm_after(normalised_input(x, weights, (4,)), state, weights)


def ln_lstm_after(from_x: Tensor, state: LstmState, weights: CellWeights) -> LstmState:
    """The step behind `normalised_input(x) [batch, 4 * hidden]`."""
    norms = weights.norms
    assert norms is not None
    assert norms.memory is not None
    i, f, g, o = (from_x + _normalised_state(state.h, weights, (4,))).chunk(4, dim=-1)
    c = torch.sigmoid(f) * state.c + torch.sigmoid(i) * torch.tanh(g)
    told = layer_norm(c, c.shape[-1:], norms.memory, norms.memory_bias, EPSILON)
    return LstmState(torch.sigmoid(o) * torch.tanh(told), c)


def ln_gru_step(x: Tensor, h: Tensor, weights: CellWeights) -> Tensor:
    """As `gru_step`, of LN(W x) + b and LN(R h) + d, r and z normalised together, n by itself.

    Ba, Kiros and Hinton 2016, appendix; z keeps the state here as in every other GRU of ours.
    """
    return ln_gru_after(normalised_input(x, weights, (2, 1)), h, weights)


def ln_gru_after(from_x: Tensor, h: Tensor, weights: CellWeights) -> Tensor:
    """The step behind `normalised_input(x) [batch, 3 * hidden]`."""
    hidden = h.shape[-1]
    rz_x, n_x = from_x.split([2 * hidden, hidden], dim=-1)
    rz_h, n_h = _normalised_state(h, weights, (2, 1)).split([2 * hidden, hidden], dim=-1)
    r, z = torch.sigmoid(rz_x + rz_h).chunk(2, dim=-1)
    n = torch.tanh(n_x + r * n_h)
    return n + z * (h - n)


def normalised_input(x: Tensor, weights: CellWeights, groups: tuple[int, ...]) -> Tensor:
    """LN(W x) * gain + b, `[..., gates * hidden]`, of one step or of many; see `NORMALISED`."""
    assert weights.norms is not None
    product = linear(x, weights.input)
    return _normalised(product, weights.norms.input, weights.input_bias, groups)


def min_gru_decay(x: Tensor, weights: CellWeights) -> Decay:
    """z = sigmoid(W x + b), n = g(V x + d);  h' = (1 - z) * h + z * n.

    `x [..., features]`, of one step or of many: no gate waits for the state. Feng et al. 2024,
    "Were RNNs all we needed?" (arXiv 2410.01201), with the candidate of its appendix on the log
    space, see `positive`.
    """
    z, n = _from_input(x, weights).chunk(2, dim=-1)
    z = torch.sigmoid(z)
    return Decay(1 - z, z * positive(n))


def min_lstm_decay(x: Tensor, weights: CellWeights) -> Decay:
    """f, i = sigmoid(.), n = g(.);  h' = f / (f + i) * h + i / (f + i) * n.

    As `min_gru_decay`. f / (f + i) is the sigmoid of log f - log i, which never divides 0 by 0.
    """
    f, i, n = _from_input(x, weights).chunk(3, dim=-1)
    ahead = softplus(-i) - softplus(-f)  # log f - log i
    return Decay(torch.sigmoid(ahead), torch.sigmoid(-ahead) * positive(n))


def positive(x: Tensor) -> Tensor:
    """g(x) = x + 1/2 where x >= 0, sigmoid(x) where not: continuous, rising, above zero."""
    rectified = torch.relu(x)
    return rectified + torch.sigmoid(x - rectified)


def with_other_update(weights: CellWeights) -> CellWeights:
    """A GRU's weights for the other meaning of z: where it kept the state, it now lets it go.

    Cho et al. 2014, torch and ONNX say h' = z * h + (1 - z) * n; Chung et al. 2014 (arXiv
    1412.3555) and many after them h' = (1 - z) * h + z * n. As 1 - sigmoid(a) = sigmoid(-a), the
    update gate's rows change their sign, and either cell computes what the other did. Of a
    normalised cell they are the rows of gains and shifts: in a matrix they would move the mean
    that they share with the reset gate's.
    """

    norms = weights.norms
    if norms is None:
        recurrent = None if weights.recurrent is None else _turned(weights.recurrent)
        weights = replace(weights, input=_turned(weights.input), recurrent=recurrent)
    else:
        norms = GateNorms(_turned(norms.input), _turned(norms.recurrent))
    biases = [
        None if bias is None else _turned(bias)
        for bias in (weights.input_bias, weights.recurrent_bias)
    ]
    return replace(weights, input_bias=biases[0], recurrent_bias=biases[1], norms=norms)


def _turned(stacked: Tensor) -> Tensor:
    r, z, n = stacked.chunk(3)
    return torch.cat([r, -z, n])


def _from_input(x: Tensor, weights: CellWeights) -> Tensor:
    return linear(x, weights.input, weights.input_bias)


def _normalised_state(h: Tensor, weights: CellWeights, groups: tuple[int, ...]) -> Tensor:
    assert weights.norms is not None
    assert weights.recurrent is not None
    product = linear(h, weights.recurrent)
    return _normalised(product, weights.norms.recurrent, weights.recurrent_bias, groups)


def _normalised(
    product: Tensor, gain: Tensor, bias: Tensor | None, groups: tuple[int, ...]
) -> Tensor:
    """Each group of gates by itself; `groups` says of how many gates each is."""
    if len(groups) == 1:
        return layer_norm(product, product.shape[-1:], gain, bias, EPSILON)
    hidden = product.shape[-1] // sum(groups)
    sizes = [count * hidden for count in groups]
    parts = [layer_norm(part, part.shape[-1:], eps=EPSILON) for part in product.split(sizes, -1)]
    scaled = torch.cat(parts, dim=-1) * gain
    return scaled if bias is None else scaled + bias


def _from_state(h: Tensor, weights: CellWeights) -> Tensor:
    assert weights.recurrent is not None
    return linear(h, weights.recurrent, weights.recurrent_bias)

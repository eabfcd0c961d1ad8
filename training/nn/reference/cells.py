"""The equations of every cell and, beside each, its derivative, written out by hand in NumPy.

Before an activation everything is a sum `a`; for the derivative of the loss L the code writes
`d_a` where mathematics writes dL/da. All that is used are (sigmoid)' = s (1 - s),
(tanh)' = 1 - tanh^2, and that a = W x gives d_W = d_a x^T, summed over the rows, and d_x = W^T d_a.
"""

from collections.abc import Mapping

import numpy as np

from training.config import Cell as CellName
from training.nn.reference.norm import Standard, standardise
from training.nn.reference.recurrence import Array, Cell, State, Step, StepGradients, Weights


def rnn_tanh(x: Array, state: State, weights: Weights) -> Step:
    """h' = tanh(W x + b + R h + d). Elman 1990."""
    (h,) = state
    new = np.tanh(_input_sum(x, weights) + _state_sum(h, weights))

    def back(d_state: State) -> StepGradients:
        d_a = d_state[0] * (1 - new**2)
        return _gradients(x, h, weights, d_input_sum=d_a, d_state_sum=d_a)

    return Step((new,), back)


def rnn_relu(x: Array, state: State, weights: Weights) -> Step:
    """h' = max(0, W x + b + R h + d). Le, Jaitly and Hinton 2015."""
    (h,) = state
    new = np.maximum(0.0, _input_sum(x, weights) + _state_sum(h, weights))

    def back(d_state: State) -> StepGradients:
        d_a = d_state[0] * (new > 0)
        return _gradients(x, h, weights, d_input_sum=d_a, d_state_sum=d_a)

    return Step((new,), back)


def lstm(x: Array, state: State, weights: Weights) -> Step:
    """c' = f * c + i * g;  h' = o * tanh(c'). Gates i f g o. Hochreiter and Schmidhuber 1997.

    Input gate i, forget gate f and output gate o are sigmoids, the candidate g a tanh, each of its
    own W x + b + R h + d.
    """
    h, c = state
    a = _input_sum(x, weights) + _state_sum(h, weights)
    a_i, a_f, a_g, a_o = np.split(a, 4, axis=-1)
    i, f, g, o = sigmoid(a_i), sigmoid(a_f), np.tanh(a_g), sigmoid(a_o)
    new_c = f * c + i * g
    told = np.tanh(new_c)

    def back(d_state: State) -> StepGradients:
        d_h, d_c = d_state
        d_o = d_h * told
        d_c = d_c + d_h * o * (1 - told**2)
        d_i, d_f, d_g = d_c * g, d_c * c, d_c * i
        d_a = np.concatenate(
            [d_i * i * (1 - i), d_f * f * (1 - f), d_g * (1 - g**2), d_o * o * (1 - o)], axis=-1
        )
        read = _gradients(x, h, weights, d_input_sum=d_a, d_state_sum=d_a)
        return StepGradients(read.x, (read.state[0], d_c * f), read.weights)

    return Step((o * told, new_c), back)


def gru(x: Array, state: State, weights: Weights) -> Step:
    """n = tanh(W x + b + r * (R h + d));  h' = (1 - z) * n + z * h. Gates r z n.

    Reset gate r and update gate z are sigmoids of their own W x + b + R h + d; r acts after the
    product, as in cuDNN and torch.
    """
    (h,) = state
    r_x, z_x, n_x = np.split(_input_sum(x, weights), 3, axis=-1)
    r_h, z_h, n_h = np.split(_state_sum(h, weights), 3, axis=-1)
    r, z = sigmoid(r_x + r_h), sigmoid(z_x + z_h)
    n = np.tanh(n_x + r * n_h)

    def back(d_state: State) -> StepGradients:
        (d_h,) = d_state
        d_n, d_z = d_h * (1 - z), d_h * (h - n)
        d_a_n = d_n * (1 - n**2)
        d_a_r, d_a_z = d_a_n * n_h * r * (1 - r), d_z * z * (1 - z)
        d_input = np.concatenate([d_a_r, d_a_z, d_a_n], axis=-1)
        d_state_sum = np.concatenate([d_a_r, d_a_z, d_a_n * r], axis=-1)
        read = _gradients(x, h, weights, d_input_sum=d_input, d_state_sum=d_state_sum)
        return StepGradients(read.x, (read.state[0] + d_h * z,), read.weights)

    return Step(((1 - z) * n + z * h,), back)


def gru_cho(x: Array, state: State, weights: Weights) -> Step:
    """n = tanh(W x + R (r * h) + b);  h' = (1 - z) * n + z * h. Gates r z n. Cho et al. 2014.

    Reset gate r and update gate z are sigmoids of their own W x + R h + b; r acts on the state,
    before the product. There is one bias.
    """
    (h,) = state
    W, R = weights["W"], weights["R"]
    R_rz, R_n = np.split(R, [2 * h.shape[-1]])
    rz_x, n_x = np.split(_input_sum(x, weights), [2 * h.shape[-1]], axis=-1)
    r, z = np.split(sigmoid(rz_x + h @ R_rz.T), 2, axis=-1)
    reset = r * h
    n = np.tanh(n_x + reset @ R_n.T)

    def back(d_state: State) -> StepGradients:
        (d_h,) = d_state
        d_n, d_z = d_h * (1 - z), d_h * (h - n)
        d_a_n = d_n * (1 - n**2)
        d_reset = d_a_n @ R_n
        d_a_rz = np.concatenate([d_reset * h * r * (1 - r), d_z * z * (1 - z)], axis=-1)
        d_a = np.concatenate([d_a_rz, d_a_n], axis=-1)
        d_before = d_h * z + d_reset * r + d_a_rz @ R_rz
        d_R = np.concatenate([d_a_rz.T @ h, d_a_n.T @ reset])
        return StepGradients(d_a @ W, (d_before,), {"W": d_a.T @ x, "R": d_R, "b": d_a.sum(0)})

    return Step(((1 - z) * n + z * h,), back)


def min_gru(x: Array, state: State, weights: Weights) -> Step:
    """h' = (1 - z) * h + z * g(W x + b). Gates z n. Feng et al. 2024.

    The update gate z is a sigmoid of its own W x + b: no gate sees the state, there is no R. Here
    z lets the state go, the other way round than in `gru`, as the paper has it.
    """
    (h,) = state
    a_z, a_n = np.split(_input_sum(x, weights), 2, axis=-1)
    z, n = sigmoid(a_z), positive(a_n)

    def back(d_state: State) -> StepGradients:
        (d_h,) = d_state
        d_a_z, d_a_n = d_h * (n - h) * z * (1 - z), d_h * z * _positive_slope(a_n)
        d_a = np.concatenate([d_a_z, d_a_n], axis=-1)
        return _input_gradients(x, weights, d_a, d_before=d_h * (1 - z))

    return Step(((1 - z) * h + z * n,), back)


def min_lstm(x: Array, state: State, weights: Weights) -> Step:
    """h' = p * h + (1 - p) * g(W x + b), p = f / (f + i). Gates f i n. Feng et al. 2024.

    Forget gate f and input gate i are sigmoids of their own W x + b. With i' = i (1 - i) and
    f' = f (1 - f), dp/da_f = f' i / (f + i)^2 = p (1 - p) (1 - f) and dp/da_i = -p (1 - p) (1 - i).
    """
    (h,) = state
    a_f, a_i, a_n = np.split(_input_sum(x, weights), 3, axis=-1)
    f, i, n = sigmoid(a_f), sigmoid(a_i), positive(a_n)
    p = f / (f + i)

    def back(d_state: State) -> StepGradients:
        (d_h,) = d_state
        d_p = d_h * (h - n) * p * (1 - p)
        d_a_n = d_h * (1 - p) * _positive_slope(a_n)
        d_a = np.concatenate([d_p * (1 - f), -d_p * (1 - i), d_a_n], axis=-1)
        return _input_gradients(x, weights, d_a, d_before=d_h * p)

    return Step((p * h + (1 - p) * n,), back)


def ln_lstm(x: Array, state: State, weights: Weights) -> Step:
    """c' = f * c + i * g;  h' = o * tanh(LN(c') + s). Gates i f g o. Ba, Kiros and Hinton 2016.

    Equations 20 to 22: i, f and o are sigmoids, g a tanh, each of its part of LN(W x) + b +
    LN(R h) + d. LN is over the vector of all gates, and has a gain: gx of the input, gh of the
    state, gc of the memory.
    """
    h, c = state
    from_x, from_h = standardise(x @ weights["W"].T), standardise(h @ weights["R"].T)
    a = weights["gx"] * from_x.u + weights["b"] + weights["gh"] * from_h.u + weights["d"]
    a_i, a_f, a_g, a_o = np.split(a, 4, axis=-1)
    i, f, g, o = sigmoid(a_i), sigmoid(a_f), np.tanh(a_g), sigmoid(a_o)
    new_c = f * c + i * g
    memory = standardise(new_c)
    told = np.tanh(weights["gc"] * memory.u + weights["s"])

    def back(d_state: State) -> StepGradients:
        d_h, d_c = d_state
        d_o, d_told = d_h * told, d_h * o * (1 - told**2)
        d_c = d_c + memory.back(d_told * weights["gc"])
        d_i, d_f, d_g = d_c * g, d_c * c, d_c * i
        d_a = np.concatenate(
            [d_i * i * (1 - i), d_f * f * (1 - f), d_g * (1 - g**2), d_o * o * (1 - o)], axis=-1
        )
        d_x, d_R_h = from_x.back(d_a * weights["gx"]), from_h.back(d_a * weights["gh"])
        read = _gradients(x, h, weights, d_input_sum=d_x, d_state_sum=d_R_h)
        d_weights = {
            **read.weights,
            "b": d_a.sum(0),
            "d": d_a.sum(0),
            "gx": (d_a * from_x.u).sum(0),
            "gh": (d_a * from_h.u).sum(0),
            "gc": (d_told * memory.u).sum(0),
            "s": d_told.sum(0),
        }
        return StepGradients(read.x, (read.state[0], d_c * f), d_weights)

    return Step((o * told, new_c), back)


def ln_gru(x: Array, state: State, weights: Weights) -> Step:
    """n = tanh(LN(W x) + b + r * (LN(R h) + d));  h' = (1 - z) * n + z * h. Gates r z n.

    Ba, Kiros and Hinton 2016, appendix: r and z are sigmoids of their part of LN(W x) + b +
    LN(R h) + d, normalised together; n is normalised by itself. Gains gx and gh as in `ln_lstm`.
    """
    (h,) = state
    cut = [2 * h.shape[-1]]
    from_x = [standardise(part) for part in np.split(x @ weights["W"].T, cut, axis=-1)]
    from_h = [standardise(part) for part in np.split(h @ weights["R"].T, cut, axis=-1)]
    u_x, u_h = (np.concatenate([one.u for one in part], axis=-1) for part in (from_x, from_h))
    rz_x, n_x = np.split(weights["gx"] * u_x + weights["b"], cut, axis=-1)
    rz_h, n_h = np.split(weights["gh"] * u_h + weights["d"], cut, axis=-1)
    r, z = np.split(sigmoid(rz_x + rz_h), 2, axis=-1)
    n = np.tanh(n_x + r * n_h)

    def back(d_state: State) -> StepGradients:
        (d_h,) = d_state
        d_n, d_z = d_h * (1 - z), d_h * (h - n)
        d_a_n = d_n * (1 - n**2)
        d_a_rz = np.concatenate([d_a_n * n_h * r * (1 - r), d_z * z * (1 - z)], axis=-1)
        d_a_x = np.concatenate([d_a_rz, d_a_n], axis=-1)
        d_a_h = np.concatenate([d_a_rz, d_a_n * r], axis=-1)
        d_W_x = _back_of_parts(from_x, d_a_x * weights["gx"], cut)
        d_R_h = _back_of_parts(from_h, d_a_h * weights["gh"], cut)
        read = _gradients(x, h, weights, d_input_sum=d_W_x, d_state_sum=d_R_h)
        d_weights = {
            **read.weights,
            "b": d_a_x.sum(0),
            "d": d_a_h.sum(0),
            "gx": (d_a_x * u_x).sum(0),
            "gh": (d_a_h * u_h).sum(0),
        }
        return StepGradients(read.x, (read.state[0] + d_h * z,), d_weights)

    return Step(((1 - z) * n + z * h,), back)


def positive(a: Array) -> Array:
    """g(a) = a + 1/2 where a >= 0, sigmoid(a) where not."""
    return np.where(a >= 0, a + 0.5, sigmoid(a))


def sigmoid(a: Array) -> Array:
    """1 / (1 + exp(-a)), as (1 + tanh(a / 2)) / 2, which never overflows."""
    return 0.5 * (1.0 + np.tanh(0.5 * a))


CELLS: Mapping[CellName, Cell] = {
    "rnn_tanh": rnn_tanh,
    "rnn_relu": rnn_relu,
    "lstm": lstm,
    "gru": gru,
    "gru_cho": gru_cho,
    "min_gru": min_gru,
    "min_lstm": min_lstm,
    "ln_lstm": ln_lstm,
    "ln_gru": ln_gru,
}


def with_other_update(weights: Weights) -> Weights:
    """A GRU's weights for h' = (1 - z) * h + z * n: the rows of z change their sign.

    Of a normalised one those of gains and shifts, for in its matrices r and z share a mean.
    """
    turned = dict(weights)
    for name in weights.keys() - ({"W", "R"} if "gx" in weights else ()):
        stacked = weights[name]
        r, z, n = np.split(stacked, 3)
        turned[name] = np.concatenate([r, -z, n])
    return turned


def _positive_slope(a: Array) -> Array:
    return np.where(a >= 0, 1.0, sigmoid(a) * (1 - sigmoid(a)))


def _back_of_parts(parts: list[Standard], d_u: Array, cut: list[int]) -> Array:
    pairs = zip(parts, np.split(d_u, cut, axis=-1), strict=True)
    return np.concatenate([part.back(d) for part, d in pairs], axis=-1)


def _input_sum(x: Array, weights: Weights) -> Array:
    return x @ weights["W"].T + weights["b"]


def _state_sum(h: Array, weights: Weights) -> Array:
    return h @ weights["R"].T + weights["d"]


def _gradients(
    x: Array, h: Array, weights: Weights, *, d_input_sum: Array, d_state_sum: Array
) -> StepGradients:
    """Through W x + b and R h + d."""
    d_weights = {
        "W": d_input_sum.T @ x,
        "R": d_state_sum.T @ h,
        "b": d_input_sum.sum(0),
        "d": d_state_sum.sum(0),
    }
    return StepGradients(d_input_sum @ weights["W"], (d_state_sum @ weights["R"],), d_weights)


def _input_gradients(
    x: Array, weights: Weights, d_input_sum: Array, *, d_before: Array
) -> StepGradients:
    """Through W x + b alone."""
    d_weights = {"W": d_input_sum.T @ x, "b": d_input_sum.sum(0)}
    return StepGradients(d_input_sum @ weights["W"], (d_before,), d_weights)

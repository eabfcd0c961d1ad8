"""The cells in torch are their NumPy references, step by step; the two meanings of z are one."""

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.training.nn.reference.mirrored import EVERY_CELL, array, double, mirrored
from training.config import Cell
from training.nn.cells import (
    CellWeights,
    Decay,
    LstmState,
    gru_cho_step,
    gru_step,
    ln_gru_step,
    ln_lstm_step,
    lstm_step,
    min_gru_decay,
    min_lstm_decay,
    rnn_step,
    with_other_update,
)
from training.nn.recurrent import RecurrentStack
from training.nn.reference.cells import CELLS, sigmoid
from training.nn.reference.cells import with_other_update as with_other_update_in_numpy
from training.nn.reference.norm import standardise
from training.nn.reference.recurrence import Array, State, Weights

ROWS, FEATURES, HIDDEN = 5, 3, 4
EXACT = 1e-12


def stack(cell: Cell) -> RecurrentStack:
    return double(RecurrentStack(cell, FEATURES, HIDDEN))


def torch_step(cell: Cell, x: Tensor, state: tuple[Tensor, ...], weights: CellWeights):
    """The equations of `training/nn/cells.py`."""
    h = state[0]

    def decayed(decay: Decay) -> tuple[Tensor, ...]:
        return (decay.kept * h + decay.added,)

    match cell:
        case "rnn_tanh" | "rnn_relu":
            return (rnn_step(x, h, weights, relu=cell == "rnn_relu"),)
        case "lstm":
            after = lstm_step(x, LstmState(*state), weights)
            return (after.h, after.c)
        case "gru":
            return (gru_step(x, h, weights),)
        case "gru_cho":
            return (gru_cho_step(x, h, weights),)
        case "min_gru":
            return decayed(min_gru_decay(x, weights))
        case "min_lstm":
            return decayed(min_lstm_decay(x, weights))
        case "ln_lstm":
            after = ln_lstm_step(x, LstmState(*state), weights)
            return (after.h, after.c)
        case "ln_gru":
            return (ln_gru_step(x, h, weights),)


def drawn(*, states: int = 1, spread: float = 1.0) -> tuple[Array, State]:
    draw = np.random.default_rng(1)
    state = tuple(draw.normal(0, spread, (ROWS, HIDDEN)) for _ in range(states))
    return draw.normal(0, spread, (ROWS, FEATURES)), state


@pytest.mark.parametrize("cell", EVERY_CELL)
@pytest.mark.parametrize("spread", [1.0, 30.0])
def test_a_step_in_torch_is_the_step_of_the_reference(cell: Cell, spread: float):
    network = stack(cell)
    x, state = drawn(states=network.num_states, spread=spread)
    seen = torch_step(
        cell,
        torch.from_numpy(x),
        tuple(map(torch.from_numpy, state)),
        network.layer(0).weights(0),
    )
    expected = CELLS[cell](x, state, mirrored(network).layers[0][0]).state
    for ours, theirs in zip(seen, expected, strict=True):
        np.testing.assert_allclose(array(ours), theirs, atol=EXACT, rtol=EXACT)


@pytest.mark.parametrize("cell", EVERY_CELL)
def test_derivatives_written_by_hand_are_differences_in_the_limit(cell: Cell):
    """Without torch: central differences of the sum of all that the step gives."""
    network = stack(cell)
    weights = dict(mirrored(network).layers[0][0])
    x, state = drawn(states=network.num_states)
    ones = tuple(np.ones_like(part) for part in state)
    gradients = CELLS[cell](x, state, weights).back(ones)

    def total(x: Array, state: State, weights: Weights) -> float:
        return float(sum(part.sum() for part in CELLS[cell](x, state, weights).state))

    for expected, place in [
        (gradients.x, x),
        *zip(gradients.state, state, strict=True),
        *((gradients.weights[name], weights[name]) for name in weights),
    ]:
        for at in [(0,) * place.ndim, (-1,) * place.ndim]:
            value, step = place[at], 1e-6
            sides = []
            for moved in (value + step, value - step):
                place[at] = moved
                sides.append(total(x, state, weights))
            place[at] = value
            slope = (sides[0] - sides[1]) / (2 * step)
            assert expected[at] == pytest.approx(slope, rel=1e-6, abs=1e-8)


def with_z_that_lets_go(x: Array, h: Array, weights: Weights, cell: Cell) -> Array:
    """h' = (1 - z) * h + z * n, as Chung et al. 2014 and, normalised, Ba et al. 2016 write it."""
    if cell == "ln_gru":
        a_x, a_h = x @ weights["W"].T, h @ weights["R"].T
        parts = [np.s_[:, : 2 * HIDDEN], np.s_[:, 2 * HIDDEN :]]
        u_x, u_h = (np.hstack([standardise(a[part]).u for part in parts]) for a in (a_x, a_h))
        r_x, z_x, n_x = np.split(weights["gx"] * u_x + weights["b"], 3, axis=1)
        r_h, z_h, n_h = np.split(weights["gh"] * u_h + weights["d"], 3, axis=1)
        z, n = sigmoid(z_x + z_h), np.tanh(n_x + sigmoid(r_x + r_h) * n_h)
        return (1 - z) * h + z * n
    (W_r, W_z, W_n), (R_r, R_z, R_n) = (np.split(weights[name], 3) for name in "WR")
    b_r, b_z, b_n = np.split(weights["b"], 3)
    d_r, d_z, d_n = np.split(weights.get("d", np.zeros(3 * HIDDEN)), 3)
    r = sigmoid(x @ W_r.T + b_r + h @ R_r.T + d_r)
    z = sigmoid(x @ W_z.T + b_z + h @ R_z.T + d_z)
    from_h = r * (h @ R_n.T + d_n) if cell == "gru" else (r * h) @ R_n.T
    return (1 - z) * h + z * np.tanh(x @ W_n.T + b_n + from_h)


@pytest.mark.parametrize("cell", ["gru", "gru_cho", "ln_gru"])
def test_a_gru_of_the_other_meaning_of_z_is_a_change_of_sign_away(cell: Cell):
    network = stack(cell)
    weights = mirrored(network).layers[0][0]
    x, (h,) = drawn()
    expected = with_z_that_lets_go(x, h, weights, cell)
    turned = with_other_update_in_numpy(weights)
    np.testing.assert_allclose(CELLS[cell](x, (h,), turned).state[0], expected, atol=EXACT)
    in_torch = with_other_update(network.layer(0).weights(0))
    (seen,) = torch_step(cell, torch.from_numpy(x), (torch.from_numpy(h),), in_torch)
    np.testing.assert_allclose(array(seen), expected, atol=EXACT)


@pytest.mark.parametrize("cell", ["gru", "gru_cho", "ln_gru"])
def test_the_other_meaning_of_the_other_meaning_is_the_first(cell: Cell):
    network = stack(cell)
    before = mirrored(network).layers[0][0]
    turned = with_other_update_in_numpy(with_other_update_in_numpy(before))
    for name in before:
        np.testing.assert_array_equal(turned[name], before[name])
    weights = network.layer(0).weights(0)
    again = with_other_update(with_other_update(weights))
    x, h = torch.from_numpy(drawn()[0]), torch.from_numpy(drawn()[1][0])
    assert torch.equal(torch_step(cell, x, (h,), again)[0], torch_step(cell, x, (h,), weights)[0])


def test_the_two_forms_of_a_gru_are_not_the_same_network():
    """So that one taken for the other is found: they share weights and differ in their numbers."""
    weights = dict(mirrored(stack("gru_cho")).layers[0][0])
    x, state = drawn()
    before = CELLS["gru_cho"](x, state, weights).state[0]
    after = CELLS["gru"](x, state, {**weights, "d": np.zeros(3 * HIDDEN)}).state[0]
    assert np.abs(before - after).max() > 1e-2


def test_a_minimal_lstm_with_shut_gates_divides_no_zero_by_zero():
    weights = CellWeights(torch.zeros(3, 3), input_bias=torch.tensor([-120.0, -130.0, 0.0]))
    decay = min_lstm_decay(torch.zeros(1, 3), weights)
    assert decay.kept.item() == pytest.approx(1.0, abs=1e-4)
    assert torch.isfinite(decay.added).all()

"""Every network in torch is its NumPy reference, forward and back through time, to 1e-10."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.training.nn.reference.mirrored import EVERY_CELL, array, double, gradients, mirrored
from training.config import Cell, Combine
from training.nn.recurrent import RecurrentStack
from training.nn.reference.recurrence import Rows
from training.nn.reference.stack import run_stack

EXACT = 1e-10
"""Two float64 computations of the same numbers, through six layers and a dozen steps."""
FEATURES, HIDDEN = 3, 4
LENGTHS = (7, 1, 4)


def assert_same_forward_and_back(stack: RecurrentStack, lengths: tuple[int, ...]) -> None:
    """Outputs, final states, and gradients of inputs, initial states and all weights."""
    rows, steps = len(lengths), max(lengths)
    inputs = torch.randn(rows, steps, FEATURES, dtype=torch.float64, requires_grad=True)
    state = tuple(torch.randn_like(s).requires_grad_() for s in stack.initial_state(rows))
    ran = stack(inputs, torch.tensor(lengths), state)
    reference = run_stack(
        mirrored(stack), Rows(array(inputs), np.array(lengths)), tuple(map(array, state))
    )
    np.testing.assert_allclose(array(ran.outputs), reference.outputs, atol=EXACT, rtol=EXACT)
    for ours, theirs in zip(ran.state, reference.state, strict=True):
        np.testing.assert_allclose(array(ours), theirs, atol=EXACT, rtol=EXACT)

    d_outputs, *d_state = (torch.randn_like(t) for t in (ran.outputs, *ran.state))
    torch.autograd.backward((ran.outputs, *ran.state), (d_outputs, *d_state))
    back = reference.back(array(d_outputs), tuple(map(array, d_state)))
    pairs = [(array(inputs.grad), back.inputs)]
    pairs += [(array(s.grad), d) for s, d in zip(state, back.state, strict=True)]
    for layer, sides in enumerate(back.layers):
        for side, expected in enumerate(sides):
            seen = gradients(stack, layer, side)
            assert seen.keys() == expected.keys()
            pairs += [(seen[name], expected[name]) for name in seen]
    for norm, expected in zip(stack.norms, back.norms, strict=True):
        pairs += [(array(norm.weight.grad), expected.gain), (array(norm.bias.grad), expected.shift)]
    for seen, expected in pairs:
        np.testing.assert_allclose(seen, expected, atol=EXACT, rtol=EXACT)


@pytest.mark.parametrize("cell", EVERY_CELL)
@pytest.mark.parametrize("layers", [1, 2, pytest.param(6, marks=pytest.mark.slow)])
@pytest.mark.parametrize("bidirectional", [False, True])
def test_a_stack_of_any_depth_is_its_reference(cell: Cell, layers: int, bidirectional: bool):
    torch.manual_seed(layers)
    stack = RecurrentStack(cell, FEATURES, HIDDEN, layers=layers, bidirectional=bidirectional)
    assert_same_forward_and_back(double(stack), LENGTHS)


@pytest.mark.parametrize("cell", EVERY_CELL)
@pytest.mark.parametrize("combine", ["concat", "sum", "mean"])
def test_both_directions_combine_as_in_the_reference(cell: Cell, combine: Combine):
    stack = RecurrentStack(cell, FEATURES, HIDDEN, layers=2, bidirectional=True, combine=combine)
    assert_same_forward_and_back(double(stack), LENGTHS)


@pytest.mark.parametrize("cell", EVERY_CELL)
@pytest.mark.parametrize(("residual", "layer_norm"), [(True, False), (False, True), (True, True)])
@pytest.mark.parametrize("bidirectional", [False, True])
def test_residual_and_normalised_stacks_are_their_reference(
    cell: Cell, residual: bool, layer_norm: bool, bidirectional: bool
):
    stack = RecurrentStack(
        cell,
        FEATURES,
        HIDDEN,
        layers=3,
        bidirectional=bidirectional,
        residual=residual,
        layer_norm=layer_norm,
    )
    assert_same_forward_and_back(double(stack), LENGTHS)


@settings(max_examples=25, deadline=None)
@given(
    cell=st.sampled_from(EVERY_CELL),
    layers=st.integers(1, 6),
    bidirectional=st.booleans(),
    combine=st.sampled_from(["concat", "sum", "mean"]),
    residual=st.booleans(),
    layer_norm=st.booleans(),
    lengths=st.lists(st.integers(1, 12), min_size=1, max_size=5),
    seed=st.integers(0, 2**31),
)
def test_any_stack_on_any_ragged_rows_is_its_reference(
    cell: Cell,
    layers: int,
    bidirectional: bool,
    combine: Combine,
    residual: bool,
    layer_norm: bool,
    lengths: list[int],
    seed: int,
):
    torch.manual_seed(seed)
    stack = RecurrentStack(
        cell,
        FEATURES,
        HIDDEN,
        layers=layers,
        bidirectional=bidirectional,
        combine=combine,
        residual=residual,
        layer_norm=layer_norm,
    )
    assert_same_forward_and_back(double(stack, seed=seed), tuple(lengths))


def test_what_is_in_the_padding_is_never_read():
    stack = double(RecurrentStack("gru_cho", FEATURES, HIDDEN, bidirectional=True))
    inputs, lengths = np.random.default_rng(0).normal(size=(3, 7, FEATURES)), np.array(LENGTHS)
    state = tuple(map(array, stack.initial_state(3)))
    clean = run_stack(mirrored(stack), Rows(inputs, lengths), state)
    inputs[np.arange(7) >= lengths[:, None]] = np.nan
    dirty = run_stack(mirrored(stack), Rows(inputs, lengths), state)
    np.testing.assert_array_equal(dirty.outputs, clean.outputs)
    d_state = tuple(np.ones_like(s) for s in clean.state)
    back = dirty.back(np.ones_like(clean.outputs), d_state)
    assert np.isfinite(back.inputs).all()
    assert all(np.isfinite(d).all() for d in back.layers[0][0].values())

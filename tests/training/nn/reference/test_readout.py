"""Readouts and attention in torch are their NumPy references, forward and back."""

import numpy as np
import pytest
import torch
from torch import nn

from tests.training.nn.reference.mirrored import array, double, gradients, mirrored
from training.config import Cell
from training.nn.attention import AdditivePooling, valid_steps
from training.nn.recurrent import RecurrentStack
from training.nn.reference.attention import PoolingWeights, pool
from training.nn.reference.readout import ReadoutWeights, read_last, read_steps
from training.nn.reference.recurrence import Rows
from training.nn.reference.stack import run_stack

EXACT = 1e-10
LENGTHS = torch.tensor([7, 1, 4])


@pytest.mark.parametrize("cell", ["rnn_tanh", "rnn_relu"])
@pytest.mark.parametrize("many", ["to many", "to one"])
def test_a_vanilla_network_with_its_output_is_its_reference(cell: Cell, many: str):
    """h_t = tanh(W h + W x + b), y_t = V h_t + c: at every step, or a scalar at the last one."""
    stack = double(RecurrentStack(cell, 3, 4))
    head = nn.Linear(4, 2 if many == "to many" else 1).double()
    inputs = torch.randn(3, 7, 3, dtype=torch.float64, requires_grad=True)
    ran = stack(inputs, LENGTHS)
    states = ran.outputs if many == "to many" else ran.state[0][-1]
    seen = head(states)
    d_seen = torch.randn_like(seen)
    seen.backward(d_seen)

    zero = tuple(map(array, stack.initial_state(3)))
    reference = run_stack(mirrored(stack), Rows(array(inputs), LENGTHS.numpy()), zero)
    weights = ReadoutWeights(array(head.weight), array(head.bias))
    if many == "to many":
        read = read_steps(reference.outputs, weights)
    else:
        read = read_last(reference.outputs, LENGTHS.numpy(), weights)
    np.testing.assert_allclose(array(seen), read.outputs, atol=EXACT)
    d_read = read.back(array(d_seen))
    back = reference.back(d_read.states, tuple(np.zeros_like(s) for s in zero))
    np.testing.assert_allclose(array(inputs.grad), back.inputs, atol=EXACT)
    np.testing.assert_allclose(array(head.weight.grad), d_read.weights.V, atol=EXACT)
    np.testing.assert_allclose(array(head.bias.grad), d_read.weights.c, atol=EXACT)
    for name, gradient in gradients(stack, 0, 0).items():
        np.testing.assert_allclose(gradient, back.layers[0][0][name], atol=EXACT)


@pytest.mark.parametrize("heads", [1, 3])
def test_pooling_is_its_reference(heads: int):
    torch.manual_seed(0)
    pooling = AdditivePooling(4, heads).double()
    steps = torch.randn(3, 7, 4, dtype=torch.float64, requires_grad=True)
    pooled = pooling(steps, valid_steps(LENGTHS, 7))
    d_pooled = torch.randn_like(pooled.vector)
    pooled.vector.backward(d_pooled)
    weights = PoolingWeights(
        array(pooling.keys.weight), array(pooling.keys.bias), array(pooling.query.weight)
    )
    reference = pool(Rows(array(steps), LENGTHS.numpy()), weights)
    np.testing.assert_allclose(array(pooled.vector), reference.outputs, atol=EXACT)
    np.testing.assert_allclose(array(pooled.weights), reference.shares, atol=EXACT)
    back = reference.back(array(d_pooled))
    for seen, expected in [
        (steps.grad, back.inputs),
        (pooling.keys.weight.grad, back.weights.W),
        (pooling.keys.bias.grad, back.weights.b),
        (pooling.query.weight.grad, back.weights.v),
    ]:
        np.testing.assert_allclose(array(seen), expected, atol=EXACT)

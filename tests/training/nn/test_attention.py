"""Attention weighs valid steps and nothing else."""

import pytest
import torch

from training.nn.attention import AdditivePooling, valid_steps

LENGTHS = torch.tensor([4, 1, 3])


@pytest.mark.parametrize("heads", [1, 3])
def test_weights_sum_to_one_over_the_valid_steps(heads: int):
    pooling = AdditivePooling(6, heads)
    valid = valid_steps(LENGTHS, 4)
    weights = pooling(torch.randn(3, 4, 6), valid).weights
    torch.testing.assert_close(weights.sum(dim=1), torch.ones(3, heads))
    assert (weights[~valid] == 0).all()
    assert (weights[valid] > 0).all()


def test_what_is_not_a_number_in_the_padding_stays_there():
    pooling = AdditivePooling(6, 2)
    valid = valid_steps(LENGTHS, 4)
    steps = torch.randn(3, 4, 6)
    clean = pooling(steps.masked_fill(~valid.unsqueeze(-1), 0.0), valid)
    dirty = pooling(steps.masked_fill(~valid.unsqueeze(-1), torch.nan), valid)
    assert torch.equal(dirty.vector, clean.vector)
    assert torch.equal(dirty.weights, clean.weights)


def test_a_single_step_is_its_own_mean():
    pooling = AdditivePooling(6)
    steps = torch.randn(2, 1, 6)
    assert torch.equal(pooling(steps, valid_steps(torch.tensor([1, 1]), 1)).vector, steps[:, 0])


def test_the_score_is_that_of_the_formula():
    torch.manual_seed(0)
    pooling = AdditivePooling(3)
    steps = torch.randn(1, 2, 3)
    keys, bias, query = pooling.keys.weight, pooling.keys.bias, pooling.query.weight[0]
    scores = torch.stack([query @ torch.tanh(keys @ step + bias) for step in steps[0]])
    weights = scores.exp() / scores.exp().sum()
    expected = weights[0] * steps[0, 0] + weights[1] * steps[0, 1]
    seen = pooling(steps, valid_steps(torch.tensor([2]), 2)).vector[0]
    torch.testing.assert_close(seen, expected, atol=1e-6, rtol=0)


def test_each_head_draws_by_a_query_of_its_own():
    torch.manual_seed(0)
    pooling, valid = AdditivePooling(3, 2), valid_steps(torch.tensor([4]), 4)
    steps = torch.randn(1, 4, 3)
    both = pooling(steps, valid)
    for head in range(2):
        alone = AdditivePooling(3)
        alone.keys = pooling.keys
        alone.query.weight.data = pooling.query.weight[head : head + 1]
        seen = alone(steps, valid)
        drawn = both.vector[:, 3 * head : 3 * head + 3]
        torch.testing.assert_close(drawn, seen.vector, atol=1e-6, rtol=0)
        torch.testing.assert_close(both.weights[..., head], seen.weights[..., 0])

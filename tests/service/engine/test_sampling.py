"""Drawing tokens: the distribution, the filters, and independence from the company."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.engine.sampling import Draw, SamplingParams, sample, uniform

LOGITS = np.log(np.array([0.5, 0.25, 0.15, 0.1], np.float32))


def draw_many(params: SamplingParams, num: int = 4000) -> np.ndarray:
    draws = [Draw(params, position) for position in range(num)]
    tokens = sample(np.tile(LOGITS, (num, 1)), draws)
    return np.bincount(tokens, minlength=4) / num


def test_uniform_numbers_are_uniform_and_a_pure_function() -> None:
    numbers = np.array([uniform(7, position) for position in range(20_000)])
    assert numbers.min() >= 0
    assert numbers.max() < 1
    counts, _ = np.histogram(numbers, bins=20, range=(0, 1))
    # Chi-squared with 19 degrees of freedom: 43.8 is the 0.999 quantile.
    assert ((counts - 1000) ** 2 / 1000).sum() < 43.8
    assert uniform(7, 3) == uniform(7, 3) != uniform(8, 3)


def test_tokens_come_with_their_probabilities() -> None:
    # Four standard deviations of a share of 4,000 draws are at most 0.032.
    np.testing.assert_allclose(draw_many(SamplingParams()), [0.5, 0.25, 0.15, 0.1], atol=0.032)


def test_temperature_sharpens() -> None:
    expected = np.array([0.5, 0.25, 0.15, 0.1]) ** 2
    shares = draw_many(SamplingParams(temperature=0.5))
    np.testing.assert_allclose(shares, expected / expected.sum(), atol=0.032)


def test_temperature_zero_is_the_likeliest() -> None:
    assert draw_many(SamplingParams(temperature=0))[0] == 1


def test_top_k_keeps_k() -> None:
    shares = draw_many(SamplingParams(top_k=2))
    np.testing.assert_allclose(shares, [2 / 3, 1 / 3, 0, 0], atol=0.032)


def test_top_p_keeps_the_fewest_that_reach_p() -> None:
    shares = draw_many(SamplingParams(top_p=0.7))
    np.testing.assert_allclose(shares, [2 / 3, 1 / 3, 0, 0], atol=0.032)


def test_repetition_penalty_lowers_what_was_seen() -> None:
    seen = np.array([True, False, False, False])
    logits = np.array([[2.0, 1.5, -1.0, -2.0]])
    greedy = SamplingParams(temperature=0, repetition_penalty=2.0)
    assert sample(logits, [Draw(greedy, 0, seen)]) == [1]
    assert sample(logits, [Draw(greedy, 0, ~seen)]) == [0]


params = st.builds(
    SamplingParams,
    temperature=st.sampled_from([0.0, 0.3, 1.0, 2.0]),
    top_k=st.sampled_from([0, 1, 3, 20]),
    top_p=st.sampled_from([0.1, 0.5, 0.9, 1.0]),
    repetition_penalty=st.sampled_from([1.0, 1.3]),
    seed=st.integers(0, 2**64 - 1),
)


@settings(max_examples=100)
@given(st.lists(params, min_size=1, max_size=40), st.integers(0, 2**32), st.integers(2, 200))
def test_a_row_draws_the_same_token_alone_and_in_company(
    rows: list[SamplingParams], seed: int, vocab: int
) -> None:
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 3, (len(rows), vocab)).astype(np.float32)
    draws = [Draw(one, int(rng.integers(1000)), rng.random(vocab) < 0.3) for one in rows]
    together = sample(logits, draws)
    alone = [int(sample(logits[i : i + 1], [draws[i]])[0]) for i in range(len(rows))]
    assert together.tolist() == alone


@pytest.mark.parametrize("top_p", [1e-9, 0.999999999])
def test_extreme_top_p_still_draws_a_token(top_p: float) -> None:
    assert sample(LOGITS[None], [Draw(SamplingParams(top_p=top_p), 0)])[0] in range(4)

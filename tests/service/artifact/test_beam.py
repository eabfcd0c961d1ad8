"""The beam finds what trying everything finds, and says which rows go on."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from service.artifact.beam import Beam, BeamParams, Candidate, Ended, Hypothesis
from service.artifact.scores import likeliest_tokens, log_softmax

END, A, B = 0, 1, 2
TOKENS = (END, A, B)
MAX_TOKENS = 4


def chances(tokens: tuple[int, ...], seed: int) -> list[float]:
    """A made-up language: the probabilities of END, A and B after `tokens`."""
    weights = [1 + (hash((seed, *tokens, token)) % 1000) for token in TOKENS]
    return [weight / sum(weights) for weight in weights]


def told(hypothesis: Hypothesis, seed: int, count: int) -> list[Candidate]:
    logs = map(math.log, chances(hypothesis.tokens, seed))
    scores = [Candidate(*one) for one in zip(TOKENS, logs, strict=True)]
    return sorted(scores, key=lambda one: -one.log_probability)[:count]


def run(params: BeamParams, seed: int) -> Beam:
    beam = Beam(params)
    while not beam.done:
        beam.advance([told(one, seed, params.num_candidates) for one in beam.live])
    return beam


def everything(params: BeamParams, seed: int) -> list[Ended]:
    """Every text that ends within the limit, by its score."""
    found: list[Ended] = []
    for length in range(MAX_TOKENS):
        for tokens in itertools.product((A, B), repeat=length):
            steps = [*tokens, END]
            chance = sum(
                math.log(chances(tuple(steps[:at]), seed)[token]) for at, token in enumerate(steps)
            )
            text = Hypothesis(tokens, chance)
            found.append(Ended(text, params.score(text, num_tokens=length + 1), "stop"))
    return sorted(found, key=lambda one: -one.score)


@given(seed=st.integers(0, 10_000), penalty=st.sampled_from([0.0, 0.6, 1.0]))
def test_a_beam_as_wide_as_the_language_finds_the_best_text(seed: int, penalty: float):
    params = BeamParams(END, width=64, length_penalty=penalty, max_tokens=MAX_TOKENS)
    best, expected = run(params, seed).ranked[0], everything(params, seed)[0]
    assert best.hypothesis.tokens == expected.hypothesis.tokens
    assert best.score == pytest.approx(expected.score)


@given(seed=st.integers(0, 10_000))
def test_a_beam_of_one_is_greedy(seed: int):
    params = BeamParams(END, width=1, max_tokens=MAX_TOKENS)
    tokens: tuple[int, ...] = ()
    while len(tokens) < MAX_TOKENS:
        likeliest = told(Hypothesis(tokens), seed, 1)[0].token
        if likeliest == END:
            break
        tokens = (*tokens, likeliest)
    assert run(params, seed).ranked[0].hypothesis.tokens == tokens


@given(seed=st.integers(0, 10_000), width=st.integers(1, 4))
def test_every_row_goes_on_from_its_own_beginning(seed: int, width: int):
    params = BeamParams(END, width=width, max_tokens=MAX_TOKENS)
    beam = Beam(params)
    while not beam.done:
        before = beam.live
        places = beam.advance([told(one, seed, params.num_candidates) for one in before])
        assert len(places) == len(beam.live) <= width
        for place, hypothesis in zip(places, beam.live, strict=True):
            assert hypothesis.tokens[:-1] == before[place].tokens


def test_the_score_is_that_of_the_paper():
    params = BeamParams(END, length_penalty=0.6)
    text = Hypothesis((A, B, A, A, B, A, A), -3.0)
    assert params.score(text, num_tokens=7) == pytest.approx(-3.0 / (12 / 6) ** 0.6)


def test_a_length_penalty_prefers_the_longer_of_two():
    def best(penalty: float) -> tuple[int, ...]:
        beam = Beam(BeamParams(END, width=2, length_penalty=penalty))
        beam.advance([[Candidate(END, -1.0), Candidate(A, -1.05)]])
        beam.advance([[Candidate(END, -0.05), Candidate(A, -9.0)]])
        return beam.ranked[0].hypothesis.tokens

    assert best(0.0) == ()
    assert best(1.0) == (A,)


def test_what_is_cut_off_comes_after_all_that_ended():
    beam = Beam(BeamParams(END, width=2, max_tokens=2))
    beam.advance([[Candidate(A, -0.1), Candidate(END, -5.0), Candidate(B, -6.0)]])
    beam.advance([[Candidate(A, -0.1), Candidate(B, -0.2)], [Candidate(A, -0.1)]])
    assert beam.done
    assert [one.reason for one in beam.ranked] == ["stop", "length", "length"]
    assert beam.ranked[0].hypothesis.tokens == ()


def test_the_likeliest_tokens_come_with_their_probabilities():
    logits = np.log(np.array([[0.1, 0.6, 0.3], [0.5, 0.25, 0.25]], np.float32))
    first, second = likeliest_tokens(logits, 2)
    assert [one.token for one in first] == [1, 2]
    assert [one.token for one in second] == [0, 1]
    assert math.exp(first[0].log_probability) == pytest.approx(0.6)


@given(
    hnp.arrays(
        np.float32, st.tuples(st.integers(1, 4), st.integers(1, 9)), elements=st.integers(-3, 3)
    ),
    st.integers(1, 12),
)
def test_the_likeliest_are_the_first_of_all_in_order_and_of_equals_the_lower_id(
    logits: np.ndarray, count: int
):
    for row, told in zip(log_softmax(logits), likeliest_tokens(logits, count), strict=True):
        order = np.argsort(-row, kind="stable")[:count]
        assert [one.token for one in told] == order.tolist()
        assert [one.log_probability for one in told] == pytest.approx(row[order].tolist())


def test_of_equals_the_first_told_lives():
    beam = Beam(BeamParams(END, width=1))
    beam.advance([[Candidate(B, -1.0), Candidate(A, -1.0)]])
    assert beam.live[0].tokens == (B,)

"""Figures are what their names say, on numbers small enough to count by hand."""

import math

import numpy as np
import pytest

from service.artifact.scores import log_softmax
from tests.training.export.test_graph import language_model
from training.evaluation.forecasting import last_rows_repeated
from training.evaluation.language import bigram_nats, surprise, unigram_nats
from training.export.graph import build_graph
from training.runner import Runner


def test_bigram_nats_are_the_logarithms_of_the_counts():
    before = np.array([0, 1, 0, 1, 0, 2])
    # After 0: 1 twice, 2 once, and one added to each of three: 1/6, 3/6, 2/6.
    seen = bigram_nats(before, np.array([0, 1]), num_tokens=3)
    assert seen == pytest.approx(-math.log(3 / 6))


def test_unigram_nats_are_the_logarithms_of_the_counts():
    # 0 three times, 1 once, 2 never, and one added to each: 4/7, 2/7, 1/7.
    seen = unigram_nats(np.array([0, 1, 0, 0]), np.array([0, 2]), num_tokens=3)
    assert seen == pytest.approx(-(math.log(4 / 7) + math.log(1 / 7)) / 2)


def test_surprise_is_of_every_token_given_all_before_it():
    network = language_model()
    graph = build_graph(network)
    runner = Runner(graph.model.SerializeToString(), graph.spec)
    ids = np.random.default_rng(0).integers(0, 13, 2500)  # more than two chunks
    seen = surprise(ids, runner, start=4)
    whole = log_softmax(runner.run(np.concatenate([[4], ids[:-1]])[None]).outputs[0])
    expected = [-whole[step, token] for step, token in enumerate(ids)]
    assert np.array_equal(seen, expected)


def test_the_last_rows_repeated_are_those_up_to_the_step():
    rows = np.arange(6, dtype=np.float32)[:, None]
    repeated = last_rows_repeated(rows, 3)
    assert repeated.shape == (6, 3, 1)
    assert repeated[4, :, 0].tolist() == [2, 3, 4]
    assert repeated[0, :, 0].tolist() == [0, 0, 0]
    assert repeated[1, :, 0].tolist() == [0, 0, 1]

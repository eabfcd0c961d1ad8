"""The collapse of a best path: what is written is the same in any chunks."""

from itertools import groupby

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import log_softmax

from service.artifact.ctc import BLANK, collapse, last_told

paths = st.lists(st.integers(0, 3), min_size=1, max_size=40)
cuts = st.lists(st.integers(0, 40), max_size=5)


def logits_of(path: list[int], seed: int = 0) -> np.ndarray:
    """Of which each step tells what the path does."""
    draw = np.random.default_rng(seed)
    logits = draw.normal(size=(len(path), 4)).astype(np.float32)
    logits[np.arange(len(path)), path] += 10
    return logits


@given(paths)
def test_repetitions_are_one_label_and_blanks_are_none(path: list[int]):
    told = collapse(logits_of(path))
    expected = [label - 1 for label, _ in groupby(path) if label != BLANK]
    assert told.labels.tolist() == expected
    assert [path[step] - 1 for step in told.steps] == expected
    assert all(step == 0 or path[step - 1] != path[step] for step in told.steps)


@given(paths, cuts, st.integers(0, 100))
def test_chunks_of_any_sizes_say_what_the_whole_says(path: list[int], cut: list[int], seed: int):
    logits = logits_of(path, seed)
    whole = collapse(logits)
    ends = sorted({min(end, len(path)) for end in cut} - {0, len(path)})
    labels, steps, score, last, begin = list[int](), list[int](), 0.0, BLANK, 0
    for chunk in np.split(logits, ends):
        told = collapse(chunk, last)
        labels += told.labels.tolist()
        steps += (told.steps + begin).tolist()
        score, last, begin = score + told.score, last_told(chunk), begin + len(chunk)
    assert labels == whole.labels.tolist()
    assert steps == whole.steps.tolist()
    assert score == pytest.approx(whole.score)


@given(paths, st.integers(0, 100))
def test_the_score_is_the_log_probability_of_the_best_path(path: list[int], seed: int):
    logits = logits_of(path, seed)
    chances = log_softmax(logits.astype(np.float64), axis=1)
    expected = sum(float(chances[step, label]) for step, label in enumerate(path))
    assert collapse(logits).score == pytest.approx(expected)

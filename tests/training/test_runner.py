"""The runner remembers nothing: what a call knows of the past is the state it was given."""

import numpy as np

from tests.training.export.test_graph import classifier, language_model
from training.export.graph import build_graph
from training.runner import Runner

TOKENS = np.random.default_rng(0).integers(0, 13, (2, 9))


def runner() -> Runner:
    graph = build_graph(language_model())
    return Runner(graph.model.SerializeToString(), graph.spec)


def test_the_same_call_gives_the_same_answer_whatever_came_between():
    lines = runner()
    first = lines.run(TOKENS)
    lines.run(TOKENS[:, ::-1].copy(), state=first.state)
    again = lines.run(TOKENS)
    assert np.array_equal(again.outputs, first.outputs)


def test_a_state_handed_on_is_not_written_to():
    lines = runner()
    first = lines.run(TOKENS)
    kept = [part.copy() for part in first.state]
    lines.run(TOKENS, state=first.state)
    assert all(np.array_equal(a, b) for a, b in zip(first.state, kept, strict=True))


def test_without_lengths_every_row_is_full():
    lines = runner()
    full = lines.run(TOKENS, np.array([9, 9], np.int32))
    assert np.array_equal(lines.run(TOKENS).outputs, full.outputs)


def test_a_graph_without_state_gives_none():
    graph = build_graph(classifier())
    ran = Runner(graph.model.SerializeToString(), graph.spec).run(TOKENS)
    assert ran.state == ()
    assert ran.outputs.shape == (2, 3)

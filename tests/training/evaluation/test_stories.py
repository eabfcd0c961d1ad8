"""A task counts by itself; an answer that training never saw is wrong, not an error."""

import pytest

from tests.training.data.test_stories import FACTS
from training.config import DataConfig, ModelConfig, OptimConfig, RunConfig
from training.data.stories import parse_stories, split_stories
from training.evaluation.evaluate import evaluate
from training.export.networks import build_graph
from training.tasks.build import build
from training.tasks.classification import Classification

LEARN = """\
## qa1 where
1 Mary moved to the bathroom.
2 Where is Mary? \tbathroom\t1
## qa2 whether
1 Mary moved to the bathroom.
2 Is Mary in the bathroom? \tyes\t1
"""
TEST = LEARN.replace("\tyes", "\tperhaps") + "1 Mary moved.\n2 Is Mary in?\tyes\t1\n"


def test_the_mean_is_of_tasks_and_an_unknown_answer_is_wrong():
    config = RunConfig(
        "x",
        "",
        DataConfig("babi", 4, validation_fraction=0.0),
        ModelConfig("gru", 4, bidirectional=True, embedding=3, pools_tokens=True),
        OptimConfig(1e-3, 1),
    )
    learn, test = parse_stories(LEARN), parse_stories(TEST)
    data = split_stories(learn, test, facts=FACTS, config=config.data, seed=0)
    task = build(config, data)
    assert isinstance(task, Classification)
    (metric,) = evaluate(config, data, build_graph(task.network).runner()).metrics
    assert metric.name == "accuracy, mean of 2 tasks"
    # One of one by the first task's commonest answer, one of two by the second's.
    assert metric.baseline == pytest.approx(0.75)
    assert metric.value in {0.0, 0.25, 0.5, 1.0}

"""Signals are judged at the last step of every test item, and oddities row by row."""

from collections.abc import Sequence

import numpy as np
import pytest
import torch

from training.config import RunConfig
from training.data.anomalies import AnomalyData
from training.data.build import AnyData
from training.data.build import build as build_data
from training.data.signals import LabelledSignals, MeasuredSignals
from training.evaluation.evaluate import evaluate
from training.export.networks import build_graph
from training.recipes.registry import find_recipe
from training.runner import Runner
from training.tasks.build import build as build_task


def untrained(name: str) -> tuple[RunConfig, AnyData, Runner]:
    config = find_recipe(name)
    data = build_data(config.data, config.seed)
    torch.manual_seed(0)
    graph = build_graph(build_task(config, data).network.eval())
    return config, data, Runner(graph.model.SerializeToString(), graph.spec)


def outputs(runner: Runner, rows: Sequence[torch.Tensor]) -> list[np.ndarray]:
    """Each item alone."""
    return [runner.run(steps[None].numpy()).outputs[0] for steps in rows]


def test_a_label_is_that_of_the_last_step():
    config, data, runner = untrained("tiny-waves")
    assert isinstance(data, LabelledSignals)
    tested = data.split.tested
    right = [
        steps[-1].argmax() == int(target)
        for steps, target in zip(outputs(runner, tested.rows), tested.targets, strict=True)
    ]
    evaluation = evaluate(config, data, runner)
    assert evaluation.metrics[0].value == pytest.approx(np.mean(right))
    assert evaluation.metrics[0].baseline == pytest.approx(0.5, abs=0.1)
    assert evaluation.picture.png.startswith(b"\x89PNG")


def test_a_value_is_judged_against_the_truth_and_against_the_truth_as_it_was_told():
    config, data, runner = untrained("tiny-wear")
    assert isinstance(data, MeasuredSignals)
    tested = data.split.tested
    told = np.array([steps[-1, 0] for steps in outputs(runner, tested.rows)])
    truth = np.array([float(target[-1]) for target in tested.targets])
    whole, capped = evaluate(config, data, runner).metrics
    assert whole.value == pytest.approx(np.sqrt(np.mean((told - truth) ** 2)), rel=1e-5)
    assert capped.value == pytest.approx(
        np.sqrt(np.mean((told - truth.clip(max=data.cap)) ** 2)), rel=1e-5
    )
    assert whole.lower_is_better
    assert whole.baseline is not None


def test_rows_before_the_judged_ones_do_not_count():
    config, data, runner = untrained("tiny-oddities")
    assert isinstance(data, AnomalyData)
    f1, false_alarms, missed = evaluate(config, data, runner).metrics
    assert "480 rows of 6 experiments" in f1.split
    # Of the 80 judged rows of each experiment 30 are odd: always alarming has 2 * 30 / (80 + 30).
    assert f1.baseline == pytest.approx(60 / 110)
    assert (false_alarms.baseline, missed.baseline) == (1.0, 0.0)
    assert 0 <= f1.value <= 1

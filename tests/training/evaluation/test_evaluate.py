"""Evaluation compares with a trivial predictor, and with the published split's every item."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from training.config import RunConfig
from training.data.build import AnyData
from training.data.build import build as build_data
from training.evaluation.card import CardFacts, render_card
from training.evaluation.evaluate import evaluate
from training.evaluation.evaluation import Evaluation
from training.export.graph import build_graph
from training.recipes.registry import find_recipe
from training.runner import Runner
from training.tasks.build import build as build_task


def untrained(name: str) -> tuple[RunConfig, AnyData, Runner]:
    config = find_recipe(name)
    data = build_data(config.data, config.seed)
    torch.manual_seed(0)
    graph = build_graph(build_task(config, data).network.eval())
    return config, data, Runner(graph.model.SerializeToString(), graph.spec)


def evaluated(name: str) -> Evaluation:
    return evaluate(*untrained(name))


def test_an_untrained_language_model_knows_nothing_and_bigrams_know_more():
    config, data, runner = untrained("tiny-language")
    evaluation = evaluate(config, data, runner)
    metric = evaluation.metrics[0]
    assert metric.value == pytest.approx(np.log(data.num_tokens), rel=0.1)
    assert metric.baseline is not None
    assert metric.baseline < metric.value
    assert metric.lower_is_better
    assert len(evaluation.sample) == 400


def test_a_forecast_is_measured_in_deviations_of_the_training_rows():
    config, data, runner = untrained("tiny-series")
    mse, mae = evaluate(config, data, runner).metrics
    test = data.test()
    forecast = runner.run(test.inputs.numpy()).outputs
    error = (forecast - test.targets.numpy())[0, test.first_counted :]
    scaled = error / np.array(data.scaling.deviation)
    assert mse.value == pytest.approx((scaled**2).mean(), rel=1e-5)
    assert mae.value == pytest.approx(np.abs(scaled).mean(), rel=1e-5)
    assert "97 windows" in mse.split


@pytest.mark.slow
def test_accuracy_stands_beside_always_saying_the_commonest_label():
    config, data, runner = untrained("tiny-questions")
    metric = evaluate(config, data, runner).metrics[0]
    labels = [item.class_name for item in data.tested.items]
    commonest = metric.baseline_name.removeprefix("always ")
    assert metric.baseline == labels.count(commonest) / len(labels)
    assert 0 <= metric.value <= 1


def test_pictures_are_png_files():
    for name in ("tiny-language", "tiny-series"):
        assert evaluated(name).picture.png.startswith(b"\x89PNG")


def test_a_card_says_what_was_measured_against_what_and_what_to_mind():
    config, data, runner = untrained("tiny-series")
    config = replace(config, caveats=("Waves are not weather.",))
    evaluation = evaluate(config, data, runner)
    facts = CardFacts(
        version=3,
        data=data.facts,
        num_weights=1234,
        num_bytes=5000,
        num_epochs=2,
        verification={"chunks_equal_whole": 0.0, "onnx_equals_torch": 2e-7},
    )
    card = render_card(config, facts, evaluation)
    assert f"**{evaluation.metrics[0].value:.4f}**" in card
    assert "| chunks equal whole | none, bit for bit |" in card
    assert "| onnx equals torch | 2.0e-07 |" in card
    assert "- Waves are not weather." in card
    assert "none verified" in card

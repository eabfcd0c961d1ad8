"""The figures of those who set the task: by hand, and those published for naive forecasts."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch

from training.data.build import build as build_data
from training.evaluation.evaluate import evaluate
from training.evaluation.many_series import (
    correlation,
    mase,
    relative_error,
    season_repeated,
    smape,
)
from training.export.networks import build_graph
from training.recipes.registry import find_recipe
from training.tasks.build import build as build_task

FOLDER = os.environ.get("RECUR_DATA_DIR")
at_hand = pytest.mark.skipif(
    FOLDER is None or not Path(FOLDER, "forecasting/m4_hourly_train.jsonl.xz").exists(),
    reason="the data is not in RECUR_DATA_DIR",
)


def untrained_figures(name: str) -> dict[str, tuple[float, float]]:
    """By metric, the figure and its baseline, of a network that begins as the naive forecast."""
    config = find_recipe(name)
    data = build_data(config.data, config.seed)
    torch.manual_seed(0)
    network = build_task(config, data).network.eval()
    evaluation = evaluate(config, data, build_graph(network).runner())
    return {metric.name: (metric.value, metric.baseline or 0.0) for metric in evaluation.metrics}


def test_smape_and_mase_are_m4_s():
    came, forecast = np.array([10.0, 20.0]), np.array([30.0, 20.0])
    assert smape(came, forecast) == pytest.approx(200 / 2 * (20 / 40))
    given = np.array([1.0, 5.0, 3.0, 9.0])  # two steps apart: 2 and 4
    assert mase(came, forecast, given, season=2) == pytest.approx(10 / 3)
    assert season_repeated(given, 3, season=2).tolist() == [3, 9, 3]


def test_relative_errors_are_lstnet_s():
    came, seen = [np.array([0.0, 2.0]), np.array([4.0, 6.0])], [np.array([1.0, 2.0])] * 2
    # Off by 1, 0, 3, 4; the mean of all is 3, from which all are off by 3, 1, 1, 3.
    assert relative_error(seen, came) == pytest.approx((26 / 20) ** 0.5)
    assert correlation([np.array([1.0, 2.0]), np.array([2.0, 1.0])], came) == pytest.approx(0.0)


@pytest.mark.slow
def test_bands_are_measured_by_how_far_they_are_off_what_they_are_to_hold():
    figures = untrained_figures("tiny-rhythms")
    off, floor = figures["share between the quantiles 0.1 and 0.9, off 0.8"]
    assert 0 < off < floor
    assert floor == pytest.approx(0.8)
    assert figures["RSE, 1 days ahead"][0] < figures["RSE, 1 days ahead"][1]


@pytest.mark.slow
@at_hand
def test_m4_s_seasonal_naive_has_its_published_figures():
    figures = untrained_figures("hourly-series")
    assert figures["sMAPE"][1] == pytest.approx(13.912, abs=5e-4)
    assert figures["MASE"][1] == pytest.approx(1.193, abs=5e-4)


@pytest.mark.slow
@at_hand
def test_the_last_exchange_rate_has_the_errors_that_it_has():
    figures = untrained_figures("exchange-rate")
    for ahead, expected in {3: 0.0171, 6: 0.0238, 12: 0.0329, 24: 0.0434}.items():
        ours, floor = figures[f"RSE, {ahead} days ahead"]
        assert floor == pytest.approx(expected, abs=5e-5)
        assert ours == pytest.approx(floor, rel=1e-3)  # it begins there
    assert figures["CORR, 24 days ahead"][1] == pytest.approx(0.9331, abs=5e-5)

"""Half a percent of the figure is allowed, whichever direction is the better one."""

import pytest

from service.artifact.manifest import Metric
from training.evaluation.comparison import AccuracyLost, Compared, compare

NO_NUMBER = Metric.model_construct(
    name="figure", value=float("nan"), split="test", lower_is_better=True
)


def metric(value: float, *, lower_is_better: bool) -> Metric:
    return Metric(name="figure", value=value, split="test", lower_is_better=lower_is_better)


def pair(floats: float, integers: float, *, lower_is_better: bool) -> Compared:
    return Compared(
        metric(floats, lower_is_better=lower_is_better),
        metric(integers, lower_is_better=lower_is_better),
    )


@pytest.mark.parametrize(
    ("floats", "integers", "lower_is_better", "loss"),
    [
        (2.0, 2.01, True, 0.005),
        (2.0, 1.99, True, -0.005),
        (0.8, 0.796, False, 0.005),
        (0.8, 0.804, False, -0.005),
        (0.0, 0.0, True, 0.0),
    ],
)
def test_a_loss_is_what_got_worse(
    floats: float, integers: float, lower_is_better: bool, loss: float
):
    compared = pair(floats, integers, lower_is_better=lower_is_better)
    assert compared.loss == pytest.approx(loss, abs=1e-12)


def test_what_got_better_or_hardly_worse_is_accepted():
    floats = [metric(2.0, lower_is_better=True), metric(0.5, lower_is_better=False)]
    integers = [metric(2.009, lower_is_better=True), metric(0.9, lower_is_better=False)]
    assert [pair.integers for pair in compare(floats, integers)] == integers


def test_what_lost_more_is_refused_with_both_figures():
    floats = [metric(0.5, lower_is_better=False), metric(2.0, lower_is_better=True)]
    integers = [metric(0.5, lower_is_better=False), metric(2.011, lower_is_better=True)]
    with pytest.raises(AccuracyLost, match=r"from 2\.0000 to 2\.0110, 0\.55% worse") as refused:
        compare(floats, integers)
    assert "\n" not in str(refused.value)


def test_a_figure_that_is_no_number_is_refused():
    with pytest.raises(AccuracyLost):
        compare([metric(2.0, lower_is_better=True)], [NO_NUMBER])


def test_a_manifest_keeps_the_figure_of_integers_beside_float32s():
    kept = pair(2.0, 2.005, lower_is_better=True).metric
    assert (kept.name, kept.value, kept.baseline) == ("figure, int8", 2.005, 2.0)
    assert kept.baseline_name == "float32"

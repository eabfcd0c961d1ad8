"""The cost model: it finds what it was made of, and never thinks that work pays."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.engine.cost import CallSample, CostModel, fit

SHAPES = [(rows, steps) for rows in (1, 4, 16, 64) for steps in (1, 4, 16)]
small = st.floats(1e-7, 1e-3)


@given(st.builds(CostModel, small, small, small, small))
def test_the_fit_of_exact_samples_predicts_them(cost: CostModel) -> None:
    samples = [CallSample(rows, steps, cost.seconds(rows, steps)) for rows, steps in SHAPES]
    fitted = fit(samples)
    for sample in samples:
        assert fitted.seconds(sample.rows, sample.steps) == pytest.approx(sample.seconds, rel=1e-6)


@given(st.lists(st.floats(1e-6, 1.0), min_size=len(SHAPES), max_size=len(SHAPES)))
def test_no_coefficient_is_negative_whatever_was_measured(seconds: list[float]) -> None:
    samples = [CallSample(*shape, taken) for shape, taken in zip(SHAPES, seconds, strict=True)]
    cost = fit(samples)
    assert min(cost.call, cost.step, cost.row, cost.row_step) >= 0
    assert cost.seconds(1, 1) > 0


@given(st.lists(st.floats(1e-6, 1.0), min_size=1, max_size=3))
def test_a_sweep_that_was_broken_off_still_gives_a_model(seconds: list[float]) -> None:
    samples = [CallSample(*shape, taken) for shape, taken in zip(SHAPES, seconds, strict=False)]
    assert fit(samples).seconds(8, 8) > 0


def test_where_calls_are_dear_many_rows_are_needed_and_where_rows_are_one_is_enough() -> None:
    def enough(cost: CostModel) -> int:
        return cost.enough_rows(steps=4, most=64, slack=1.1)

    assert enough(CostModel(1.0, 0.0, 0.0, 1e-6)) == 64
    assert enough(CostModel(1e-6, 0.0, 0.0, 1.0)) == 1


@given(st.builds(CostModel, small, small, small, small), st.floats(1.0, 2.0))
def test_enough_rows_cost_each_hardly_more_than_the_most_would(
    cost: CostModel, slack: float
) -> None:
    rows = cost.enough_rows(steps=8, most=64, slack=slack)
    assert cost.seconds(rows, 8) / rows <= slack * cost.seconds(64, 8) / 64 * (1 + 1e-9)

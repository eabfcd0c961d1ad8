"""Scaling is undone by its inverse, and refuses what it could not undo."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from service.artifact.scaling import Scaling

numbers = st.floats(-1e6, 1e6)
rows = st.integers(1, 4).flatmap(
    lambda width: st.lists(
        st.lists(numbers, min_size=width, max_size=width), min_size=2, max_size=20
    )
)


@given(rows)
def test_inverting_undoes_applying(values: list[list[float]]) -> None:
    array = np.array(values)
    scaling = Scaling.fit(array)
    # The mean is subtracted and added again: what is lost is a rounding of the largest number.
    np.testing.assert_allclose(
        scaling.invert(scaling.apply(array)), array, atol=1e-9 * max(1.0, np.abs(array).max())
    )


def test_a_fit_gives_mean_0_and_deviation_1() -> None:
    values = np.random.default_rng(0).normal(5, 3, (100, 2))
    scaled = Scaling.fit(values).apply(values)
    np.testing.assert_allclose(scaled.mean(axis=0), 0, atol=1e-12)
    np.testing.assert_allclose(scaled.std(axis=0), 1, atol=1e-12)


def test_a_constant_feature_is_only_shifted() -> None:
    scaling = Scaling.fit(np.full((5, 1), 7.0))
    assert scaling.deviation == (1.0,)
    assert scaling.apply(np.array([[8.0]])).item() == 1.0


def test_it_survives_its_json() -> None:
    scaling = Scaling(mean=(0.1, -3.0), deviation=(1e-9, 2.0))
    assert Scaling.model_validate_json(scaling.model_dump_json()) == scaling


@pytest.mark.parametrize(
    ("mean", "deviation", "reason"),
    [
        ((), (), "at least 1"),
        ((1.0,), (1.0, 2.0), "1 means, 2 deviations"),
        ((1.0,), (0.0,), "above 0"),
        ((1.0,), (-1.0,), "above 0"),
        ((float("nan"),), (1.0,), "finite"),
        ((1.0,), (float("inf"),), "finite"),
    ],
)
def test_what_cannot_be_undone_is_refused(
    mean: tuple[float, ...], deviation: tuple[float, ...], reason: str
) -> None:
    with pytest.raises(ValidationError, match=reason):
        Scaling(mean=mean, deviation=deviation)

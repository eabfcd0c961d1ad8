"""SKAB's figures, computed by hand."""

import pytest
import torch

from training.evaluation.anomalies import judge


def test_figures_are_of_single_rows():
    odd = torch.tensor([0, 0, 0, 0, 1, 1, 1, 1, 0, 0])
    found = torch.tensor([1, 0, 0, 0, 0, 1, 1, 0, 0, 0])
    judged = judge(found, odd)
    # Two of three alarms are right, two of four anomalies are found: 2 * 2 / (3 + 4).
    assert judged.f1 == pytest.approx(4 / 7)
    assert judged.false_alarms == pytest.approx(1 / 6)
    assert judged.missed == pytest.approx(2 / 4)


def test_one_row_found_in_a_long_anomaly_is_one_row():
    odd = torch.ones(100, dtype=torch.long)
    found = torch.zeros_like(odd)
    found[3] = 1
    assert judge(found, odd).missed == pytest.approx(0.99)


def test_always_alarming_misses_nothing_and_is_always_false():
    odd = torch.tensor([0, 1, 1, 0])
    judged = judge(torch.ones_like(odd), odd)
    assert (judged.f1, judged.false_alarms, judged.missed) == pytest.approx((2 / 3, 1.0, 0.0))

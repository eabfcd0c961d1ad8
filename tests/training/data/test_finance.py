"""Stocks in the origin's form: no day tells of itself, and what is missing is left out."""

import numpy as np

from training.data.finance import convert_acl18, windows

NOTHING = ",".join(["-123321.000000"] * 13)


def stock(days: int) -> str:
    """The first day without numbers, then ratios that say their day, and labels 1, -1, 0, ..."""
    lines = [NOTHING]
    for day in range(1, days):
        label = (1.0, -1.0, 0.0)[day % 3]
        lines.append(",".join([f"{day}.000000"] * 11 + [f"{label:.6f}", f"{100 + day}.000000"]))
    return "\n".join(lines) + "\n"


def dates(days: int) -> list[str]:
    """Twelve days in September 2015, which validate, then as many in October, which test."""
    return [f"2015-{9 + day // 12:02d}-{1 + day % 12:02d}" for day in range(days)]


def fetch(url: str) -> bytes:
    return ("\n".join(dates(24)) if url.endswith("dates.csv") else stock(24)).encode()


def test_days_without_numbers_become_missing():
    arrays = convert_acl18(fetch)
    assert arrays["features"].shape == (87, 24, 11)
    assert np.isnan(arrays["features"][0, 0]).all()
    assert arrays["label"][0, :4].tolist() == [-9, -1, 0, 1]
    assert arrays["adj_close"][0, 1] == 101
    assert arrays["tickers"][:2].tolist() == ["AAPL", "ABB"]


def test_the_ten_days_before_a_labelled_one_are_what_is_known_of_it():
    tested = windows(convert_acl18(fetch), "2015-10-01", "2016-01-01")
    # Days 12 to 23 are in October; every third has no label.
    assert len(tested) == 87 * 8
    assert tested.rows[0].shape == (10, 11)
    assert tested.rows[0][:, 0].tolist() == list(range(2, 12))
    assert [int(target) for target in tested.targets[:3]] == [1, 0, 1]


def test_a_window_with_a_missing_day_is_left_out():
    september = windows(convert_acl18(fetch), "2015-09-01", "2015-10-01")
    # Of its twelve days only day 11 has ten known ones before it, and day 11 has no label.
    assert len(september) == 0

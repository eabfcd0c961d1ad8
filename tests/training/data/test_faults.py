"""Engines and bearings: a few rows in the origins' forms become the items that are learned."""

import io
from typing import Any

import numpy as np
import pytest
from scipy.io import savemat

from training.config import DataConfig
from training.data.batches import DataFacts, Shard
from training.data.faults import bearing_label, bearings, convert_cwru, engines, parse_cmapss

FACTS = DataFacts(title="", source="", licence="", splits=())


def engine_rows(unit: int, cycles: int) -> str:
    """As NASA wrote them, blanks at the end included."""
    return "".join(
        f"{unit} {cycle} -0.0007 -0.0004 100.0 518.67 641.{cycle} 23.4190  \n"
        for cycle in range(1, cycles + 1)
    )


def test_an_engine_that_ran_to_its_end_has_one_cycle_less_at_every_row():
    items = parse_cmapss(engine_rows(1, 3) + engine_rows(2, 2), None)
    assert [target.tolist() for target in items.targets] == [[2, 1, 0], [1, 0]]
    assert items.rows[0].shape == (3, 6)
    assert items.groups == [1, 2]


def test_an_engine_that_was_stopped_has_its_published_life_left_at_the_last_row():
    items = parse_cmapss(engine_rows(1, 3), [112.0])
    assert items.targets[0].tolist() == [114, 113, 112]


def test_training_tells_at_most_the_cap_and_the_test_what_is_so():
    learn = parse_cmapss("".join(engine_rows(unit, 130 + unit) for unit in range(1, 11)), None)
    test = parse_cmapss(engine_rows(1, 3), [140.0])
    config = DataConfig("cmapss-fd001", batch_size=4, validation_fraction=0.2)
    data = engines(learn, test, facts=FACTS, config=config, seed=0)
    assert max(float(target.max()) for target in data.split.learned.targets) == 125
    assert float(data.split.tested.targets[0][-1]) == 140
    assert len(data.split.held_out) == 2
    assert not set(data.split.held_out.groups) & set(data.split.learned.groups)
    (batch, *_) = data.train(0, Shard())
    assert batch.inputs.shape[2] == 6
    assert batch.targets.shape == batch.inputs.shape[:2]


def mat_file(number: int, samples: np.ndarray[Any, Any]) -> bytes:
    buffer = io.BytesIO()
    savemat(buffer, {f"X{number:03d}_DE_time": samples[:, None], f"X{number:03d}RPM": 1797})
    return buffer.getvalue()


def test_matlab_recordings_become_counts_again():
    counts = np.arange(-50, 50)

    def fetch(url: str) -> bytes:
        number = int(url.rpartition("/")[2].removesuffix(".mat"))
        return mat_file(number, counts * (0.0002086153846153846 if number == 97 else 1.0))

    arrays = convert_cwru(fetch)
    assert arrays["Normal_load0"].tolist() == counts.tolist()
    assert arrays["Normal_load0"].dtype == np.int16
    assert len(arrays["keys"]) == len(arrays["scale"]) == 10


def test_a_bearing_s_windows_of_the_three_splits_share_no_sample():
    size = 64 * 16
    samples = np.arange(20 * size, dtype=np.int64)
    arrays = {"Normal_load0": samples, "IR007_load0": -samples}
    held = {**arrays, "keys": np.array(list(arrays)), "scale": np.ones(2)}
    config = DataConfig("cwru", batch_size=4, validation_fraction=0.2)
    data = bearings(held, facts=FACTS, config=config, seed=0)
    seen = [
        {int(value) for rows in items.rows for value in rows.flatten().abs()}
        for items in (data.split.learned, data.split.held_out, data.split.tested)
    ]
    assert not seen[0] & seen[1]
    assert not seen[1] & seen[2]
    assert max(seen[0]) < 0.7 * len(samples) <= min(seen[2])
    assert data.labels == ("normal", "inner race 7 mil")


@pytest.mark.parametrize(
    ("key", "label"),
    [
        ("Normal_load0", "normal"),
        ("IR014_load0", "inner race 14 mil"),
        ("B021_load0", "ball 21 mil"),
    ],
)
def test_a_recording_s_name_says_its_fault(key: str, label: str):
    assert bearing_label(key) == label

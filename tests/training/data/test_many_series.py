"""Many series in the origins' forms; no forecast that trains sees what validates or tests."""

import gzip
from dataclasses import replace

import numpy as np

from tests.training.data.origins import served
from training.data.batches import Shard
from training.data.build import build
from training.data.many_series import convert_m4, parse_series
from training.data.synthetic import generated_rhythms
from training.recipes.tiny import tiny_rhythms

M4 = '"V1","V2","V3","V4"\n"H1","605","586.5",""\n"H2","3124","2990","2862"\n'
MADE = b'{"id":"H1","y":[605,586.5]}\n{"id":"H2","y":[3124,2990,2862]}\n'


def test_m4_s_table_becomes_a_line_a_series_whose_short_rows_end():
    with served({"Hourly-train.csv": M4.encode()}, MADE) as (read, kept):
        text = read(lambda parts: convert_m4(parts[0]))
        assert kept() == MADE
    series = parse_series(text)
    assert list(series) == ["H1", "H2"]
    assert series["H1"].tolist() == [605, 586.5]


def test_exchange_rates_are_unpacked():
    with served({"exchange_rate.txt.gz": gzip.compress(b"0.7,1.6\n")}, b"0.7,1.6\n") as (read, _):
        assert read(lambda parts: gzip.decompress(parts[0])) == "0.7,1.6\n"


def test_training_sees_training_rows_only():
    config = tiny_rhythms()
    data = generated_rhythms(config.data, 0)
    numbered = [
        replace(one, values=np.arange(len(one.values), dtype=float) - one.ends[0])
        for one in data.series
    ]
    data = replace(data, series=numbered)
    for batch in data.train(0, Shard()):
        assert batch.targets.max() < 0  # rows are counted from the first that is held out
        assert (batch.targets[:, :, 0] == batch.inputs + 1).all()
        assert (batch.targets[:, :, -1] == batch.inputs + data.horizon).all()


def test_a_series_is_validated_on_its_own_validation_rows():
    config = tiny_rhythms()
    data = generated_rhythms(config.data, 0)
    for one, batch in zip(data.series, data.validation(), strict=True):
        asked = batch.targets[0, batch.first_counted :, :, 0].double().numpy()
        begin, end = one.ends[:2]
        assert len(asked) == end - begin - data.horizon + 1
        np.testing.assert_array_equal(asked[0], one.values[begin:][: data.horizon].astype("f4"))
        np.testing.assert_array_equal(asked[-1], one.values[:end][-data.horizon :].astype("f4"))


def test_every_epoch_draws_other_stretches_and_the_same_again():
    config = tiny_rhythms()
    data = build(config.data, 0)
    first, again, second = (data.train(epoch, Shard())[0].inputs for epoch in (0, 0, 1))
    assert (first == again).all()
    assert not (first == second).all()

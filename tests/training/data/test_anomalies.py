"""Experiments in the origin's form; what is learned is normal, and faults are made up."""

import torch

from training.config import DataConfig
from training.data.anomalies import (
    SKAB_HEADER,
    Experiment,
    Recorded,
    convert_skab,
    experiments_to_learn,
    parse_skab,
    told_twice,
)
from training.data.batches import DataFacts, Shard

FACTS = DataFacts(title="", source="", licence="", splits=())
SENSORS = SKAB_HEADER.removeprefix("file;").removesuffix(";anomaly;changepoint")


def test_the_experiments_files_become_one_and_the_recording_without_marks_gets_empty_ones():
    row = "2020-03-01 15:44:06;0.08;0.13;1.2;0.05;92.2;22.2;209.6;76.0"

    def fetch(url: str) -> bytes:
        if url.endswith("anomaly-free.csv"):
            return f"{SENSORS}\n{row}\n".encode()
        return f"{SENSORS};anomaly;changepoint\n{row};1.0;0.0\n".encode()

    text = convert_skab(fetch).decode()
    lines = text.splitlines()
    assert lines[0] == SKAB_HEADER
    assert lines[1] == f"other/1;{row};1.0;0.0"
    assert lines[-1] == f"anomaly-free/anomaly-free;{row};;"
    experiments = parse_skab(text)
    assert len(experiments) == 35
    assert experiments[0].rows.shape == (1, 8)
    assert (float(experiments[0].odd), float(experiments[-1].odd)) == (1.0, 0.0)


def experiment(name: str, *, odd: bool) -> Experiment:
    marks = torch.zeros(50)
    marks[30:40] = float(odd)
    return Experiment(name, torch.randn(50, 2), marks)


def test_only_normal_rows_are_learned_from_and_experiments_with_anomalies_are_tested():
    experiments = [experiment("a", odd=True), experiment("b", odd=False)]
    config = DataConfig("skab", batch_size=2, validation_fraction=0.34, looks=2)
    recorded = Recorded(("one", "two"), ("", ""), num_normal=20)
    data = experiments_to_learn(experiments, recorded, facts=FACTS, config=config, seed=0)
    assert [one.name for one in data.tested] == ["a"]
    assert (len(data.learned), len(data.held_out)) == (2, 1)
    stretches = [*data.learned.rows, *data.held_out.rows]
    expected = [experiments[0].rows[:20], *experiments[1].rows[:40].split(20)]
    for stretch in expected:
        assert any(torch.equal(stretch, other) for other in stretches)
    first, again = data.train(3, Shard()), data.train(3, Shard())
    assert all(torch.equal(a.inputs, b.inputs) for a, b in zip(first, again, strict=True))
    assert sum(batch.num_rows for batch in first) == 4
    assert first[0].first_counted == 20


def test_the_first_telling_is_as_it_was_and_is_history():
    rows = torch.randn(80, 3)
    for seed in range(20):
        steps, odd = told_twice(rows, torch.Generator().manual_seed(seed))
        assert torch.equal(steps[:80], rows)
        assert not odd[:80].any()
        assert set(odd[80:].tolist()) <= {0.0, 1.0}
        off = ((steps[80:] - rows) / rows.std(dim=0)).abs().max(dim=1).values
        assert (off[odd[80:] == 0] <= 0.51).all()

"""Sequences of numbers in batches: whole groups are held out, and an epoch repeats itself."""

import numpy as np
import pytest
import torch
from torch import Tensor

from service.artifact.scaling import Scaling
from training.config import DataConfig
from training.data.batches import DataFacts, Shard
from training.data.signals import Items, LabelledSignals, Signals, split_items

FACTS = DataFacts(title="", source="", licence="", splits=())


def items(count: int, *, groups: int = 5) -> Items:
    rows = [torch.full((2 + at % 4, 3), float(at)) for at in range(count)]
    return Items(
        rows, [torch.tensor(at % 2) for at in range(count)], [at % groups for at in range(count)]
    )


def data(fraction: float = 0.2) -> LabelledSignals:
    split = split_items(items(20), items(4), fraction=fraction, seed=0)

    def louder(steps: Tensor, draw: torch.Generator) -> Tensor:
        return steps + torch.rand((), generator=draw)

    return LabelledSignals(
        facts=FACTS,
        signals=Signals(("a", "b", "c"), (), Scaling(mean=(0.0,) * 3, deviation=(1.0, 2.0, 4.0))),
        split=split,
        config=DataConfig("any", batch_size=4),
        seed=0,
        augment=louder,
        labels=("even", "odd"),
    )


def test_no_group_is_on_both_sides():
    split = data().split
    assert len(split.held_out) == 4
    assert not set(split.learned.groups) & set(split.held_out.groups)


def test_with_nothing_held_out_validation_watches_what_is_learned():
    watched = data(fraction=0.0)
    assert len(watched.split.learned) == 20
    assert sum(batch.num_rows for batch in watched.validation()) == 20


def test_an_epoch_has_every_item_once_and_is_the_same_when_it_is_run_again():
    first, again = data().train(3, Shard()), data().train(3, Shard())
    seen = [round(float(row[0, 0] - 0.5)) for batch in first for row in batch.inputs]
    assert sorted(seen) == sorted(int(rows[0, 0]) for rows in data().split.learned.rows)
    for one, other in zip(first, again, strict=True):
        assert torch.equal(one.inputs, other.inputs)
        assert torch.equal(one.targets, other.targets)
    other = data().train(4, Shard())
    assert not all(torch.equal(a.inputs, b.inputs) for a, b in zip(first, other, strict=False)
                   if a.inputs.shape == b.inputs.shape)  # fmt: skip


def test_validation_is_not_augmented():
    held_out = data().split.held_out
    (batch,) = data().validation()
    assert batch.lengths is not None
    assert batch.lengths.tolist() == [len(rows) for rows in held_out.rows]
    assert batch.inputs[0, 0].tolist() == held_out.rows[0][0].tolist()


def test_a_pace_is_the_spread_of_scaled_differences():
    rows = torch.tensor([[0.0, 0.0], [2.0, 1.0], [0.0, 4.0], [2.0, 9.0]])
    one = Items([rows], [torch.tensor(0)], [0])
    made = LabelledSignals(
        facts=FACTS,
        signals=Signals(("a", "b"), (), Scaling(mean=(0.0, 0.0), deviation=(2.0, 1.0))),
        split=split_items(one, one, fraction=0.0, seed=0),
        config=DataConfig("any", batch_size=1),
        seed=0,
        augment=None,
        labels=("x", "y"),
    )
    assert made.paces == pytest.approx((np.std([1, -1, 1]), np.std([1, 3, 5])))

"""Sequences of numbers, each with one class, or with one number to tell at every step.

Validation holds out whole groups of the training split (writers, persons, engines): items of one
group are too alike for some of them to judge what was learned from the others.
"""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch
from torch import Tensor

from service.artifact.scaling import Scaling
from training.config import DataConfig
from training.data.batches import (
    Batch,
    DataFacts,
    LazyBatches,
    Shard,
    epoch_seed,
    in_order,
    length_buckets,
    pad,
    share,
)

Augment = Callable[[Tensor, torch.Generator], Tensor]
"""Another `[time, features]` that means the same; in training only."""


@dataclass(frozen=True, slots=True)
class Items:
    """One split. Equal places belong together."""

    rows: Sequence[Tensor]
    """Numbers `[time, features]` of each item."""
    targets: Sequence[Tensor]
    """A class, without axes; or a number for every step, `[time]`."""
    groups: Sequence[int]
    """Whose the item is."""

    def pick(self, places: Sequence[int]) -> "Items":
        rows, targets = [self.rows[at] for at in places], [self.targets[at] for at in places]
        return Items(rows, targets, [self.groups[at] for at in places])

    def __len__(self) -> int:
        return len(self.rows)


@dataclass(frozen=True, slots=True)
class Signals:
    """What the numbers of a data set are."""

    features: tuple[str, ...]
    units: tuple[str, ...]
    scaling: Scaling


@dataclass(frozen=True, slots=True)
class Split:
    """Items in three splits. With nothing held out, validation watches the training items."""

    learned: Items
    held_out: Items
    tested: Items


@dataclass(frozen=True, slots=True)
class _SignalData:
    facts: DataFacts
    signals: Signals
    split: Split
    config: DataConfig
    seed: int
    augment: Augment | None

    @property
    def paces(self) -> tuple[float, ...]:
        """The deviation of each feature's scaled difference from one training row to the next."""
        scaling = self.signals.scaling
        steps = torch.cat([rows.diff(dim=0) for rows in self.split.learned.rows]).numpy()
        return Scaling.fit(steps / np.array(scaling.deviation)).deviation

    def train(self, epoch: int, shard: Shard) -> Sequence[Batch]:
        seed = epoch_seed(self.seed, epoch)
        learned = self.split.learned
        places = learned_places(learned, self.config.batch_size, shard, seed=seed)
        return LazyBatches(places, partial(_batch, learned, self.augment), seed=seed)

    def validation(self) -> Sequence[Batch]:
        held_out = self.split.held_out if len(self.split.held_out) else self.split.learned
        return batches_in_order(held_out, self.config.batch_size)


@dataclass(frozen=True, slots=True)
class LabelledSignals(_SignalData):
    """One class for each item."""

    labels: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class MeasuredSignals(_SignalData):
    """One number to tell at every step of an item."""

    name: str
    unit: str
    outputs: Scaling
    """Of the numbers to tell."""
    cap: float
    """Training tells no number above this one."""


def split_items(learn: Items, test: Items, *, fraction: float, seed: int) -> Split:
    """Hold a seeded part of the groups of `learn` out."""
    groups = sorted(set(learn.groups))
    held = set(random.Random(seed).sample(groups, round(len(groups) * fraction)))
    places = range(len(learn))
    return Split(
        learned=learn.pick([at for at in places if learn.groups[at] not in held]),
        held_out=learn.pick([at for at in places if learn.groups[at] in held]),
        tested=test,
    )


def counted(facts: DataFacts, split: Split, what: str) -> DataFacts:
    """The facts with the splits' sizes."""
    parts = (("train", split.learned), ("validation", split.held_out), ("test", split.tested))
    return replace(facts, splits=tuple((name, f"{len(items):,} {what}") for name, items in parts))


def scaling_of(items: Items) -> Scaling:
    """Of each feature, over all steps."""
    return Scaling.fit(torch.cat(list(items.rows)).numpy().astype(np.float64))


def batch_of(rows: Sequence[Tensor], targets: Sequence[Tensor]) -> Batch:
    lengths = torch.tensor([len(steps) for steps in rows])
    together = pad(targets) if targets[0].ndim else torch.stack(list(targets))
    return Batch(pad(rows), together, lengths)


def batches_in_order(items: Items, size: int) -> LazyBatches:
    return LazyBatches(in_order(range(len(items)), size), partial(_batch, items, None))


def learned_places(items: Items, size: int, shard: Shard, *, seed: int) -> list[list[int]]:
    """The shard's batches of an epoch, each of like lengths."""
    lengths = [len(rows) for rows in items.rows]
    return share(length_buckets(lengths, size, seed=seed), shard)


def _batch(
    items: Items, augment: Augment | None, places: Sequence[int], draw: torch.Generator
) -> Batch:
    rows = [items.rows[at] for at in places]
    if augment is not None:
        rows = [augment(steps, draw) for steps in rows]
    return batch_of(rows, [items.targets[at] for at in places])

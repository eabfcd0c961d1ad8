"""What a task trains on: batches that are a pure function of (seed, epoch, shard)."""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol, overload

import torch
from torch import Tensor, nn

NOT_COUNTED = -100
"""A target that carries no loss: padding, or a label that training never saw."""
_BATCHES_IN_POOL = 20
"""Items are sorted by length within so many batches: more pad less and mix less."""


@dataclass(frozen=True, slots=True)
class Batch:
    inputs: Tensor
    """Token ids `[batch, time]` int64, or numbers `[batch, time, features]` float32."""
    targets: Tensor
    """What the task compares with: a class, a token or a forecast, `[batch, ...]`."""
    lengths: Tensor | None = None
    """Valid steps of each row, `[batch]` int64, always on the CPU; None: every row is full."""
    first_counted: int = 0
    """Steps before this one are history: they carry no loss."""

    @property
    def num_rows(self) -> int:
        return self.inputs.shape[0]

    def to(self, device: torch.device, *, non_blocking: bool = False) -> "Batch":
        """The batch on `device`; torch packs sequences by lengths that stay on the CPU."""
        return replace(
            self,
            inputs=self.inputs.to(device, non_blocking=non_blocking),
            targets=self.targets.to(device, non_blocking=non_blocking),
        )


@dataclass(frozen=True, slots=True)
class Shard:
    """The share of one device among several."""

    index: int = 0
    count: int = 1


@dataclass(frozen=True, slots=True)
class DataFacts:
    """What people should know of a data set; goes on the card and to `recur data`."""

    title: str
    source: str
    licence: str
    splits: tuple[tuple[str, str], ...]
    """(split, what it holds)"""
    note: str = ""


class Data(Protocol):
    """A data set, cut for training."""

    @property
    def facts(self) -> DataFacts: ...

    def train(self, epoch: int, shard: Shard) -> Sequence[Batch]:
        """The batches of one epoch; every shard gets equally many."""
        ...

    def validation(self) -> Sequence[Batch]: ...


def epoch_seed(seed: int, epoch: int) -> int:
    """A seed for one epoch that shares nothing with its neighbours'."""
    return random.Random(f"{seed}/{epoch}").getrandbits(62)


def pad(rows: Sequence[Tensor]) -> Tensor:
    """Rows `[steps, ...]` of differing length, padded with zeros to `[batch, time, ...]`."""
    return nn.utils.rnn.pad_sequence(list(rows), batch_first=True)


def length_buckets(lengths: Sequence[int], batch_size: int, *, seed: int) -> list[list[int]]:
    """Every item once, in batches of similar length and random order.

    Items are shuffled, sorted by length within pools of many batches, cut, and the batches
    shuffled: little padding, and still another company for every item in every epoch.
    """
    shuffle = random.Random(seed)
    order = list(range(len(lengths)))
    shuffle.shuffle(order)
    pool = batch_size * _BATCHES_IN_POOL
    batches: list[list[int]] = []
    for start in range(0, len(order), pool):
        items = sorted(order[start : start + pool], key=lambda item: lengths[item])
        batches += [items[i : i + batch_size] for i in range(0, len(items), batch_size)]
    shuffle.shuffle(batches)
    return batches


def in_order(places: Sequence[int], size: int) -> list[Sequence[int]]:
    """`places` cut into batches as they stand; the last one may be smaller."""
    return [places[start : start + size] for start in range(0, len(places), size)]


def share(batches: Sequence[list[int]], shard: Shard) -> list[list[int]]:
    """The shard's batches; the first few are dealt again so that all shards get as many."""
    each = -(-len(batches) // shard.count)
    places = range(shard.index, each * shard.count, shard.count)
    return [batches[place % len(batches)] for place in places]


class LazyBatches(Sequence[Batch]):
    """Made when they are asked for: a padded epoch may be larger than its items."""

    def __init__(
        self,
        places: Sequence[Sequence[int]],
        make: Callable[[Sequence[int], torch.Generator], Batch],
        *,
        seed: int = 0,
    ) -> None:
        """`make` gets the places of a batch's items, and what that batch draws its chances from."""
        self._places = places
        self._make = make
        self._seed = seed

    def __len__(self) -> int:
        return len(self._places)

    @overload
    def __getitem__(self, index: int) -> Batch: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Batch]: ...
    def __getitem__(self, index: int | slice) -> Batch | Sequence[Batch]:
        if isinstance(index, slice):
            return [self[at] for at in range(*index.indices(len(self)))]
        draw = torch.Generator().manual_seed(self._seed % 2**62 + index)
        return self._make(self._places[index], draw)

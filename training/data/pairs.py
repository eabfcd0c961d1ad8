"""A text and what it is to become: translations, replies, sentences from facts."""

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

import torch
from tokenizers import Tokenizer
from torch import Tensor

from training.config import DataConfig
from training.data.batches import (
    Batch,
    DataFacts,
    Shard,
    epoch_seed,
    in_order,
    length_buckets,
    pad,
    share,
)
from training.data.tokens import END_ID, START_ID, encode, reading_tokenizer, writing_tokenizer

Measure = Literal["bleu", "rouge"]
"""What the published figures of a data set are in."""


@dataclass(frozen=True, slots=True)
class Pair:
    source: str
    targets: tuple[str, ...]
    """Any of them is right."""
    names: tuple[tuple[str, str], ...] = ()
    """What stands for a name in the targets, and that name: it is put back before measuring."""

    def filled(self, text: str) -> str:
        """With the names in their places."""
        for slot, name in self.names:
            text = text.replace(slot, name)
        return text


class Row(NamedTuple):
    """One line of a batch: a source and one of its targets."""

    item: int
    target: int


@dataclass(frozen=True, slots=True)
class Pairs:
    """One split."""

    items: Sequence[Pair]
    sources: Sequence[Tensor]
    """Token ids `[source_time]` of each item, with the end token."""
    targets: Sequence[Sequence[Tensor]]
    """Token ids `[time]` of each item's targets, between the start and the end token."""

    def rows(self) -> list[Row]:
        """Every target of every source."""
        return [
            Row(item, place)
            for item, targets in enumerate(self.targets)
            for place in range(len(targets))
        ]

    def drawn(self, looks: int, *, seed: int) -> list[Row]:
        """As many targets of each source as there are looks, or all where it has fewer."""
        draw = random.Random(seed)
        return [
            Row(item, place)
            for item, targets in enumerate(self.targets)
            for place in draw.sample(range(len(targets)), min(looks, len(targets)))
        ]

    def target(self, row: Row) -> Tensor:
        return self.targets[row.item][row.target]

    def batch(self, rows: Sequence[Row]) -> Batch:
        """Targets are padded with zeros, the id of `[PAD]`, which carries no loss."""
        sources = [self.sources[row.item] for row in rows]
        return Batch(
            inputs=pad(sources),
            targets=pad([self.target(row) for row in rows]),
            lengths=torch.tensor([len(source) for source in sources]),
        )


@dataclass(frozen=True, slots=True)
class TextPairs:
    """Pairs in three splits, with the tokenizers of the first."""

    facts: DataFacts
    source_tokenizer: Tokenizer
    target_tokenizer: Tokenizer
    learned: Pairs
    held_out: Pairs
    tested: Pairs
    config: DataConfig
    seed: int
    measure: Measure

    def train(self, epoch: int, shard: Shard) -> list[Batch]:
        """Batches of targets, and so of sources, of similar length."""
        seed = epoch_seed(self.seed, epoch)
        rows = self.learned.drawn(self.config.looks, seed=seed)
        lengths = [
            len(self.learned.target(row)) * 1000 + len(self.learned.sources[row.item])
            for row in rows
        ]
        batches = length_buckets(lengths, self.config.batch_size, seed=seed)
        return [
            self.learned.batch([rows[place] for place in places])
            for places in share(batches, shard)
        ]

    def validation(self) -> list[Batch]:
        rows = sorted(self.held_out.rows(), key=lambda row: len(self.held_out.target(row)))
        return [
            self.held_out.batch([rows[place] for place in places])
            for places in in_order(range(len(rows)), self.config.batch_size)
        ]

    def source(self, text: str) -> Tensor:
        """Token ids `[source_time]` of a text to read."""
        return _source(self.source_tokenizer, text)


def split_pairs(
    learned: Sequence[Pair],
    held_out: Sequence[Pair],
    tested: Sequence[Pair],
    *,
    facts: DataFacts,
    config: DataConfig,
    seed: int,
    measure: Measure = "bleu",
) -> TextPairs:
    """Vocabularies are those of the training split."""
    source = reading_tokenizer((pair.source for pair in learned), num_tokens=config.source_tokens)
    target = writing_tokenizer(
        (text for pair in learned for text in pair.targets), num_tokens=config.target_tokens
    )
    splits = (("train", learned), ("validation", held_out), ("test", tested))
    return TextPairs(
        facts=replace(facts, splits=tuple((name, _counted(held)) for name, held in splits)),
        source_tokenizer=source,
        target_tokenizer=target,
        learned=_encoded(learned, source, target),
        held_out=_encoded(held_out, source, target),
        tested=_encoded(tested, source, target),
        config=config,
        seed=seed,
        measure=measure,
    )


def _counted(pairs: Sequence[Pair]) -> str:
    targets = sum(len(pair.targets) for pair in pairs)
    if targets == len(pairs):
        return f"{targets:,} pairs"
    return f"{len(pairs):,} sources, {targets:,} targets"


def _encoded(pairs: Sequence[Pair], source: Tokenizer, target: Tokenizer) -> Pairs:
    start, end = torch.tensor([START_ID]), torch.tensor([END_ID])
    return Pairs(
        items=pairs,
        sources=[_source(source, pair.source) for pair in pairs],
        targets=[
            [torch.cat([start, encode(target, text), end]) for text in pair.targets]
            for pair in pairs
        ],
    )


def _source(tokenizer: Tokenizer, text: str) -> Tensor:
    return torch.cat([encode(tokenizer, text), torch.tensor([END_ID])])

"""A text and what it is to become: translations, replies, sentences from facts."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

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


@dataclass(frozen=True, slots=True)
class Pair:
    source: str
    targets: tuple[str, ...]
    """Any of them is right; training has one."""


@dataclass(frozen=True, slots=True)
class Pairs:
    """One split."""

    items: Sequence[Pair]
    sources: Sequence[Tensor]
    """Token ids `[source_time]` of each item, with the end token."""
    targets: Sequence[Tensor]
    """Token ids `[time]` of each item's first target, between the start and the end token."""

    def batch(self, items: Sequence[int]) -> Batch:
        """Targets are padded with zeros, the id of `[PAD]`, which carries no loss."""
        sources = [self.sources[item] for item in items]
        return Batch(
            inputs=pad(sources),
            targets=pad([self.targets[item] for item in items]),
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

    def train(self, epoch: int, shard: Shard) -> list[Batch]:
        """Batches of targets, and so of sources, of similar length."""
        lengths = [
            len(target) * 1000 + len(source)
            for source, target in zip(self.learned.sources, self.learned.targets, strict=True)
        ]
        seed = epoch_seed(self.seed, epoch)
        batches = length_buckets(lengths, self.config.batch_size, seed=seed)
        return [self.learned.batch(items) for items in share(batches, shard)]

    def validation(self) -> list[Batch]:
        order = sorted(range(len(self.held_out.items)), key=lambda i: len(self.held_out.targets[i]))
        return [self.held_out.batch(items) for items in in_order(order, self.config.batch_size)]


def split_pairs(
    learned: Sequence[Pair],
    held_out: Sequence[Pair],
    tested: Sequence[Pair],
    *,
    facts: DataFacts,
    config: DataConfig,
    seed: int,
) -> TextPairs:
    """Vocabularies are those of the training split."""
    source = reading_tokenizer((pair.source for pair in learned), num_tokens=config.source_tokens)
    target = writing_tokenizer(
        (text for pair in learned for text in pair.targets), num_tokens=config.target_tokens
    )
    splits = (("train", learned), ("validation", held_out), ("test", tested))
    return TextPairs(
        facts=replace(facts, splits=tuple((name, f"{len(held):,} pairs") for name, held in splits)),
        source_tokenizer=source,
        target_tokenizer=target,
        learned=_encoded(learned, source, target),
        held_out=_encoded(held_out, source, target),
        tested=_encoded(tested, source, target),
        config=config,
        seed=seed,
    )


def _encoded(pairs: Sequence[Pair], source: Tokenizer, target: Tokenizer) -> Pairs:
    start, end = torch.tensor([START_ID]), torch.tensor([END_ID])
    return Pairs(
        items=pairs,
        sources=[torch.cat([encode(source, pair.source), end]) for pair in pairs],
        targets=[torch.cat([start, encode(target, pair.targets[0]), end]) for pair in pairs],
    )

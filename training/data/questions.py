"""Short texts of differing length, one label each; a label may say more than its class."""

import random
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from tokenizers import Tokenizer
from torch import Tensor

from training.config import DataConfig
from training.data.batches import (
    Batch,
    DataFacts,
    Shard,
    epoch_seed,
    length_buckets,
    pad,
    share,
)
from training.data.origin import Origin, read_text
from training.data.tokens import encode, word_tokenizer

# The names that the authors' page gives the files; the question texts are Latin-1.
TREC_TRAIN = Origin(
    path="text_classification/trec_train.txt.xz",
    url="https://cogcomp.seas.upenn.edu/Data/QA/QC/train_5500.label",
    sha256="9e4c8bdcaffb96ed61041bd64b564183d52793a8e91d84fc3a8646885f466ec3",
    encoding="latin-1",
)
TREC_TEST = Origin(
    path="text_classification/trec_test.txt.xz",
    url="https://cogcomp.seas.upenn.edu/Data/QA/QC/TREC_10.label",
    sha256="033f22c028c2bbba9ca682f68ffe204dc1aa6e1cf35dd6207f2d4ca67f0d0e8e",
    encoding="latin-1",
)


@dataclass(frozen=True, slots=True)
class Labelled:
    text: str
    label: str
    """The class, or `class:kind` where the data tells kinds of a class apart."""

    @property
    def class_name(self) -> str:
        return self.label.partition(":")[0]


@dataclass(frozen=True, slots=True)
class LabelledTexts:
    """Labelled texts in three splits, with the tokenizer of the first."""

    facts: DataFacts
    tokenizer: Tokenizer
    labels: tuple[str, ...]
    """The classes."""
    kinds: tuple[str, ...]
    """All labels that training and validation hold."""
    splits: tuple[list[Labelled], list[Labelled], list[Labelled]]
    encoded: tuple[list[Tensor], list[Tensor], list[Tensor]]
    """Token ids `[time]` of each text."""
    config: DataConfig
    seed: int

    @property
    def num_tokens(self) -> int:
        return self.tokenizer.get_vocab_size()

    @property
    def class_of_kind(self) -> list[int]:
        return [self.labels.index(kind.partition(":")[0]) for kind in self.kinds]

    def train(self, epoch: int, shard: Shard) -> list[Batch]:
        lengths = [len(ids) for ids in self.encoded[0]]
        batches = length_buckets(lengths, self.config.batch_size, seed=epoch_seed(self.seed, epoch))
        return [self._batch(0, items) for items in share(batches, shard)]

    def validation(self) -> list[Batch]:
        size = self.config.batch_size
        count = len(self.encoded[1])
        return [
            self._batch(1, range(start, min(start + size, count)))
            for start in range(0, count, size)
        ]

    def _batch(self, split: int, items: Sequence[int]) -> Batch:
        rows = [self.encoded[split][item] for item in items]
        targets = [self.kinds.index(self.splits[split][item].label) for item in items]
        lengths = torch.tensor([len(row) for row in rows])
        return Batch(pad(rows), torch.tensor(targets), lengths)


def trec(config: DataConfig, seed: int) -> LabelledTexts:
    """Li and Roth 2002: questions in six classes and fifty kinds, in the published split."""
    facts = DataFacts(
        title="TREC question classification, 6 coarse classes",
        source=f"{TREC_TRAIN.url} and {TREC_TEST.url}",
        licence="not stated by the authors",
        splits=(),
        note="The published split; validation is a seeded part of train. The fifty finer kinds "
        "of the same labels help in training; the classes are what is asked for.",
    )
    learn = parse_questions(read_text(TREC_TRAIN))
    test = parse_questions(read_text(TREC_TEST))
    return split_texts(learn, test, facts=facts, config=config, seed=seed)


def parse_questions(text: str) -> list[Labelled]:
    """Lines of `COARSE:fine the question`."""
    items: list[Labelled] = []
    for line in text.splitlines():
        label, _, question = line.partition(" ")
        items.append(Labelled(question, label))
    return items


def split_texts(
    learn: Sequence[Labelled],
    test: Sequence[Labelled],
    *,
    facts: DataFacts,
    config: DataConfig,
    seed: int,
) -> LabelledTexts:
    """Hold a seeded part of `learn` out for validation; the vocabulary is of the rest."""
    shuffled = list(learn)
    random.Random(seed).shuffle(shuffled)
    held_out = int(len(shuffled) * config.validation_fraction)
    splits = (shuffled[held_out:], shuffled[:held_out], list(test))
    tokenizer = word_tokenizer(
        (item.text for item in splits[0]), min_frequency=config.min_frequency
    )
    train, validation, tested = (
        [encode(tokenizer, item.text) for item in split] for split in splits
    )
    names = ("train", "validation", "test")
    counted = tuple((n, f"{len(s):,} texts") for n, s in zip(names, splits, strict=True))
    return LabelledTexts(
        facts=DataFacts(facts.title, facts.source, facts.licence, splits=counted, note=facts.note),
        tokenizer=tokenizer,
        labels=tuple(sorted({item.class_name for item in learn})),
        kinds=tuple(sorted({item.label for item in learn})),
        splits=splits,
        encoded=(train, validation, tested),
        config=config,
        seed=seed,
    )

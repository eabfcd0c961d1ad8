"""Short texts of differing length, one label each; a label may say more than its class."""

import random
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
from training.data.origin import Origin, read_text
from training.data.tokens import piece_tokenizer, word_tokenizer

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
class Texts:
    """One split."""

    items: Sequence[Labelled]
    ids: Sequence[Tensor]
    """Token ids `[time]` of each item."""


@dataclass(frozen=True, slots=True)
class LabelledTexts:
    """Labelled texts in three splits, with the tokenizer of the first."""

    facts: DataFacts
    tokenizer: Tokenizer
    labels: tuple[str, ...]
    """The classes."""
    kinds: tuple[str, ...]
    """All labels that training and validation hold."""
    learned: Texts
    held_out: Texts
    tested: Texts
    config: DataConfig
    seed: int

    @property
    def num_tokens(self) -> int:
        return self.tokenizer.get_vocab_size()

    @property
    def class_of_kind(self) -> list[int]:
        return [self.labels.index(kind.partition(":")[0]) for kind in self.kinds]

    def train(self, epoch: int, shard: Shard) -> list[Batch]:
        return self.shuffled(self.learned, epoch, shard)

    def validation(self) -> list[Batch]:
        places = in_order(range(len(self.held_out.ids)), self.config.batch_size)
        return [self._batch(self.held_out, items) for items in places]

    def shuffled(self, texts: Texts, epoch: int, shard: Shard) -> list[Batch]:
        """The shard's batches of `texts`, in the order of the epoch."""
        lengths = [len(ids) for ids in texts.ids]
        batches = length_buckets(lengths, self.config.batch_size, seed=epoch_seed(self.seed, epoch))
        return [self._batch(texts, items) for items in share(batches, shard)]

    def _batch(self, texts: Texts, places: Sequence[int]) -> Batch:
        rows = [texts.ids[place] for place in places]
        targets = [self.kinds.index(texts.items[place].label) for place in places]
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
    count = int(len(shuffled) * config.validation_fraction)
    held_out, learn = shuffled[:count], shuffled[count:]
    return label_texts(learn, held_out, test, facts=facts, config=config, seed=seed)


def label_texts(
    learn: Sequence[Labelled],
    held: Sequence[Labelled],
    test: Sequence[Labelled],
    *,
    facts: DataFacts,
    config: DataConfig,
    seed: int,
) -> LabelledTexts:
    """Three splits as they are; the vocabulary is of the first."""
    tokenizer = _tokenizer([item.text for item in learn], config)
    learned, held_out, tested = (encode_texts(tokenizer, items) for items in (learn, held, test))
    splits = (("train", learned), ("validation", held_out), ("test", tested))
    counted = tuple((name, f"{len(split.items):,} texts") for name, split in splits)
    return LabelledTexts(
        facts=replace(facts, splits=counted),
        tokenizer=tokenizer,
        labels=tuple(sorted({item.class_name for item in (*learn, *held)})),
        kinds=tuple(sorted({item.label for item in (*learn, *held)})),
        learned=learned,
        held_out=held_out,
        tested=tested,
        config=config,
        seed=seed,
    )


def encode_texts(tokenizer: Tokenizer, items: Sequence[Labelled]) -> Texts:
    encodings = tokenizer.encode_batch([item.text for item in items], add_special_tokens=False)
    return Texts(items, [torch.tensor(encoding.ids) for encoding in encodings])


def _tokenizer(texts: Sequence[str], config: DataConfig) -> Tokenizer:
    if config.num_pieces:
        return piece_tokenizer((text.split() for text in texts), num_pieces=config.num_pieces)
    return word_tokenizer(texts, min_frequency=config.min_frequency)

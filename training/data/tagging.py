"""Sentences with a tag for every word, and perhaps an intent; words are cut into pieces.

Each piece learns its word's tag; the last one, which has seen all of the word, is asked for it.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from tokenizers import Tokenizer
from torch import Tensor

from training.config import DataConfig
from training.data.batches import (
    NOT_COUNTED,
    Batch,
    DataFacts,
    Shard,
    epoch_seed,
    in_order,
    length_buckets,
    pad,
    share,
)
from training.data.origin import Origin, read_made, read_text
from training.data.tokens import piece_tokenizer

_EWT_ROOT = (
    "https://raw.githubusercontent.com/UniversalDependencies/UD_English-EWT/"
    "15d613d8447b3478787d4c278730a1e48a945efb"
)
EWT = {
    split: Origin(
        path=f"tagging/en_ewt-ud-{split}.conllu.xz",
        url=f"{_EWT_ROOT}/en_ewt-ud-{split}.conllu",
        sha256=sha256,
    )
    for split, sha256 in (
        ("train", "3fb78e2b55482c8ee00caa653af436c88c9e5bc9a73ce26e4ae3ddc79d2b7e7b"),
        ("dev", "531a54ff90d6ab12201c5a50c3e78e6ddac4de69abc4bce5d275d3cd29efe2b6"),
        ("test", "e266e515a0a7547657ed3d90d9ba46487d6bd251f27ad4269d4e8a427c8555cd"),
    )
}
_ATIS_ROOT = (
    "https://raw.githubusercontent.com/MiuLab/SlotGated-SLU/"
    "61f0307c729b1fad479ef1de94aa5ac5dee601b0/data/atis"
)
ATIS = {
    split: Origin(path=f"tagging/atis_{split}.jsonl.xz", url=f"{_ATIS_ROOT}/{split}", sha256=sha256)
    for split, sha256 in (
        ("train", "4521fc941e69d2c6f51dd6ee5a09425ca68b1d01c20ef9f42ffa5f104fbb53cd"),
        ("valid", "8429487e4d31fd65bf6414d68d4cc5af3c988664e601d99b449077f9c8a120be"),
        ("test", "e4aee53050fb29c1fb32f20304076c7baeeed6d7f0a1cbf9d2433230f2e0b51f"),
    )
}
_ATIS_FILES = ("seq.in", "seq.out", "label")
_UPOS_COLUMN, _WORD_COLUMN = 3, 1


@dataclass(frozen=True, slots=True)
class Tagged:
    """One sentence."""

    words: tuple[str, ...]
    tags: tuple[str, ...]
    intent: str = ""


@dataclass(frozen=True, slots=True)
class Sentences:
    """One split, encoded."""

    items: Sequence[Tagged]
    ids: Sequence[Tensor]
    """Token ids `[time]` of each item."""
    words: Sequence[Tensor]
    """The word that each token is of, `[time]`."""

    def last_pieces(self, place: int) -> Tensor:
        """Where each word of an item ends, `[words]`."""
        words = self.words[place]
        ends = torch.ones(len(words), dtype=torch.bool)
        ends[:-1] = words[1:] != words[:-1]
        return ends.nonzero().squeeze(1)


@dataclass(frozen=True, slots=True)
class TaggedSentences:
    """Tagged sentences in three splits, with the tokenizer of the first."""

    facts: DataFacts
    tokenizer: Tokenizer
    tags: tuple[str, ...]
    intents: tuple[str, ...]
    """Empty where sentences have none."""
    learned: Sentences
    held_out: Sentences
    tested: Sentences
    config: DataConfig
    seed: int

    @property
    def num_tokens(self) -> int:
        return self.tokenizer.get_vocab_size()

    def train(self, epoch: int, shard: Shard) -> list[Batch]:
        lengths = [len(ids) for ids in self.learned.ids]
        batches = length_buckets(lengths, self.config.batch_size, seed=epoch_seed(self.seed, epoch))
        return [self._batch(self.learned, items) for items in share(batches, shard)]

    def validation(self) -> list[Batch]:
        places = in_order(range(len(self.held_out.ids)), self.config.batch_size)
        return [self._batch(self.held_out, items) for items in places]

    def _batch(self, sentences: Sentences, places: Sequence[int]) -> Batch:
        rows = [sentences.ids[place] for place in places]
        lengths = torch.tensor([len(row) for row in rows])
        targets = torch.full((len(rows), 1 + int(lengths.max())), NOT_COUNTED)
        tag_of, intent_of = _places(self.tags), _places(self.intents)
        for row, place in enumerate(places):
            item, words = sentences.items[place], sentences.words[place]
            tags = torch.tensor([tag_of.get(tag, NOT_COUNTED) for tag in item.tags])
            targets[row, 0] = intent_of.get(item.intent, NOT_COUNTED)
            targets[row, 1 : 1 + len(words)] = tags[words]
        return Batch(pad(rows), targets, lengths)


def ewt(config: DataConfig, seed: int) -> TaggedSentences:
    """Universal Dependencies English EWT (web text), its 17 parts of speech, published split."""
    facts = DataFacts(
        title="Universal Dependencies English EWT (web text), 17 universal parts of speech",
        source=_EWT_ROOT,
        licence="CC BY-SA 4.0",
        splits=(),
        note="The published split; words as the treebank has them.",
    )
    train, dev, test = (parse_conllu(read_text(EWT[name])) for name in ("train", "dev", "test"))
    return split_sentences(train, dev, test, facts=facts, config=config, seed=seed)


def atis(config: DataConfig, seed: int) -> TaggedSentences:
    """Airline travel questions: a slot for every word and an intent for the whole question."""
    facts = DataFacts(
        title="ATIS: questions about flights, slots and intents",
        source=_ATIS_ROOT,
        licence="not stated; the original is the LDC's",
        splits=(),
        note="The split of Goo et al. 2018 (Slot-Gated). Labels that only test has count as "
        "errors.",
    )
    train, valid, test = (_read_atis(name) for name in ("train", "valid", "test"))
    return split_sentences(train, valid, test, facts=facts, config=config, seed=seed)


def parse_conllu(text: str) -> list[Tagged]:
    """CoNLL-U: a line a word, a blank line between sentences; ranges and empty nodes left out."""
    sentences: list[Tagged] = []
    for block in text.split("\n\n"):
        rows = [line.split("\t") for line in block.splitlines() if not line.startswith("#")]
        words = [row for row in rows if row[0].isdigit()]
        if words:
            forms = tuple(row[_WORD_COLUMN] for row in words)
            sentences.append(Tagged(forms, tuple(row[_UPOS_COLUMN] for row in words)))
    return sentences


def parse_slots(text: str) -> list[Tagged]:
    """A JSON object a line: `tokens`, `slots`, `intent`."""
    rows = [json.loads(line) for line in text.splitlines()]
    return [Tagged(tuple(row["tokens"]), tuple(row["slots"]), row["intent"]) for row in rows]


def join_slots(parts: Sequence[bytes]) -> bytes:
    """The origin's three files, a sentence a line, as JSON objects: what `parse_slots` reads."""
    tokens, slots, intents = (part.decode().splitlines() for part in parts)
    rows = [
        {"tokens": words.split(), "slots": tags.split(), "intent": intent.strip()}
        for words, tags, intent in zip(tokens, slots, intents, strict=True)
    ]
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()


def split_sentences(
    learn: Sequence[Tagged],
    held_out: Sequence[Tagged],
    test: Sequence[Tagged],
    *,
    facts: DataFacts,
    config: DataConfig,
    seed: int,
) -> TaggedSentences:
    """The tokenizer and the labels are of `learn` alone."""
    tokenizer = piece_tokenizer((item.words for item in learn), num_pieces=config.num_pieces)
    counted = tuple(
        (name, f"{len(items):,} sentences, {sum(len(item.words) for item in items):,} words")
        for name, items in (("train", learn), ("validation", held_out), ("test", test))
    )
    return TaggedSentences(
        facts=DataFacts(facts.title, facts.source, facts.licence, counted, facts.note),
        tokenizer=tokenizer,
        tags=tuple(sorted({tag for item in learn for tag in item.tags})),
        intents=tuple(sorted({item.intent for item in learn if item.intent})),
        learned=_encoded(tokenizer, learn),
        held_out=_encoded(tokenizer, held_out),
        tested=_encoded(tokenizer, test),
        config=config,
        seed=seed,
    )


def _read_atis(split: str) -> list[Tagged]:
    origin = ATIS[split]
    return parse_slots(read_made(origin, [f"{origin.url}/{f}" for f in _ATIS_FILES], join_slots))


def _encoded(tokenizer: Tokenizer, items: Sequence[Tagged]) -> Sentences:
    encodings = tokenizer.encode_batch([list(item.words) for item in items], is_pretokenized=True)
    return Sentences(
        items,
        [torch.tensor(encoding.ids) for encoding in encodings],
        [torch.tensor(encoding.word_ids) for encoding in encodings],
    )


def _places(labels: Sequence[str]) -> Mapping[str, int]:
    return {label: place for place, label in enumerate(labels)}

"""What is to be said, slot by slot, and the sentences that people said it in."""

import csv
import io
import re
import zipfile
from collections import defaultdict
from collections.abc import Iterable, Sequence

from sacrebleu.tokenizers.tokenizer_13a import Tokenizer13a

from training.config import DataConfig
from training.data.batches import DataFacts
from training.data.origin import Fetch, Origin, read_text
from training.data.pairs import Pair, TextPairs, split_pairs

_TRAIN = (
    "https://raw.githubusercontent.com/stefan-codes/TransformersNLG/"
    "ac97c7059df211131a5766ec43ac9522d6b0551e/data/e2e-dataset.zip"
)
_E2E = (
    "https://raw.githubusercontent.com/tuetschek/e2e-dataset/"
    "ab0d967dd5729ce455ef14ba9ffafc456a335264"
)
_SLOT = re.compile(r"([\w ]+)\[([^\]]*)\]")
_NAMED = ("name", "near")
"""Slots whose values are names: there are others in every town."""


def convert_train(fetch: Fetch) -> bytes:
    """The training file lies in an archive only."""
    with zipfile.ZipFile(io.BytesIO(fetch(_TRAIN))) as archive:
        found = next(name for name in archive.namelist() if name.endswith("/trainset.csv"))
        return archive.read(found)


E2E = {
    "train": Origin(
        path="generation/e2e_train.csv.xz",
        url=_TRAIN,
        sha256="f27d48df45815288ab15619d47a79028c300fbb7f42e373668aba0b98c1d57c6",
        convert=convert_train,
    ),
    "validation": Origin(
        path="generation/e2e_dev.csv.xz",
        url=f"{_E2E}/devset.csv",
        sha256="fc26b78cdb849c80545f513b223d1e051138b43882eeb79e3eb153e689c864f9",
    ),
    "test": Origin(
        path="generation/e2e_test.csv.xz",
        url=f"{_E2E}/testset_w_refs.csv",
        sha256="edc8db685e39bb9824d5bd70c18b1c9b0412d14b527aa960e2d1c8251ee15ccd",
    ),
}


def e2e(config: DataConfig, seed: int) -> TextPairs:
    """E2E NLG (Novikova et al. 2017, arXiv 1706.09254), its own three splits."""
    facts = DataFacts(
        title="E2E NLG: restaurants in slots and values, and in sentences of people",
        source=_E2E,
        licence="CC BY-SA 4.0",
        splits=(),
        note="A source is the slots in their order, `priceRange[cheap]` as `pricerange cheap`; "
        "the values of `name` and `near` are left out there, and `value_name` and `value_near` in "
        "the sentences. Sentences are lower-cased and cut into words as mteval-v13a does.",
    )
    learned, held_out, tested = (
        paired(read_rows(read_text(E2E[split]))) for split in ("train", "validation", "test")
    )
    return split_pairs(learned, held_out, tested, facts=facts, config=config, seed=seed)


def read_rows(text: str) -> list[tuple[str, str]]:
    """(meaning, sentence) of every row."""
    table = csv.DictReader(io.StringIO(text, newline=""))
    return [(row["mr"], row["ref"]) for row in table]


def paired(rows: Iterable[tuple[str, str]]) -> list[Pair]:
    """One pair for every meaning, with all its sentences, in the order of the first of them."""
    sentences: defaultdict[str, list[str]] = defaultdict(list)
    for meaning, sentence in rows:
        sentences[meaning].append(sentence)
    return [_pair(meaning, said) for meaning, said in sentences.items()]


def _pair(meaning: str, sentences: Sequence[str]) -> Pair:
    cut = Tokenizer13a()
    slots = [(slot.strip(), value) for slot, value in _SLOT.findall(meaning)]
    told = [slot if slot in _NAMED else f"{slot} {value}" for slot, value in slots]
    names = tuple(
        (f"value_{slot}", str(cut(value.lower()))) for slot, value in slots if slot in _NAMED
    )
    return Pair(
        source=" , ".join(told).lower(),
        targets=tuple(unnamed(str(cut(said.lower())), names) for said in sentences),
        names=names,
    )


def unnamed(words: str, names: Sequence[tuple[str, str]]) -> str:
    """`words` with spaces between them, and what stands for names in the place of names."""
    said = f" {words} "
    for slot, name in names:
        said = said.replace(f" {name} ", f" {slot} ")
    return said.strip()

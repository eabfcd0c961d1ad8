"""Sentences and their translations, line by line."""

import html

from training.config import DataConfig
from training.data.batches import DataFacts
from training.data.origin import Origin, read_text
from training.data.pairs import Pair, TextPairs, split_pairs

_MULTI30K = (
    "https://raw.githubusercontent.com/multi30k/dataset/"
    "a3d2e0d26b56f3846f66a952536ffed4e401d05a/data/task1/tok"
)
MULTI30K = {
    ("train", "de"): Origin(
        path="translation/multi30k_train.tok.de.xz",
        url=f"{_MULTI30K}/train.lc.norm.tok.de",
        sha256="cb5a23529b65ec2061f1dc446192a9c37382b63cc75f81a0be59d34894b3a505",
    ),
    ("train", "en"): Origin(
        path="translation/multi30k_train.tok.en.xz",
        url=f"{_MULTI30K}/train.lc.norm.tok.en",
        sha256="08925f8e0572bcd5a006702fc5fe20e2d77c6917d4eebd576fc20de6693c2119",
    ),
    ("validation", "de"): Origin(
        path="translation/multi30k_val.tok.de.xz",
        url=f"{_MULTI30K}/val.lc.norm.tok.de",
        sha256="97232bd273eceb7207f689527386a97e4be2616b18ada47576bdaf96c8ae1f00",
    ),
    ("validation", "en"): Origin(
        path="translation/multi30k_val.tok.en.xz",
        url=f"{_MULTI30K}/val.lc.norm.tok.en",
        sha256="46573ce391ae227f1c72f873392436a20ef18e0a6d518098cfbd70b77c8572ec",
    ),
    ("test", "de"): Origin(
        path="translation/multi30k_test2016.tok.de.xz",
        url=f"{_MULTI30K}/test_2016_flickr.lc.norm.tok.de",
        sha256="c6a33d39d48f9f510de147651316cd9d918e09ad0219df734a2f16b6baccacc4",
    ),
    ("test", "en"): Origin(
        path="translation/multi30k_test2016.tok.en.xz",
        url=f"{_MULTI30K}/test_2016_flickr.lc.norm.tok.en",
        sha256="5b7f32627cf99eced828311b955dae9800bb52bc8b91cf8b6526829e605b29d2",
    ),
}


def multi30k(config: DataConfig, seed: int) -> TextPairs:
    """Multi30k (Elliott et al. 2016, arXiv 1605.00459), German to English, its own three splits."""
    facts = DataFacts(
        title="Multi30k: captions of photographs in German and English",
        source=_MULTI30K,
        licence="non-commercial research and education (the photographs' terms); none stated "
        "for the text",
        splits=(),
        note="Lower-cased, normalised and tokenised by its authors (Moses); test is test2016.",
    )
    learned, held_out, tested = (_pairs(split) for split in ("train", "validation", "test"))
    return split_pairs(learned, held_out, tested, facts=facts, config=config, seed=seed)


def _pairs(split: str) -> list[Pair]:
    # Moses writes quotes and ampersands as XML does; people do not.
    german, english = (
        html.unescape(read_text(MULTI30K[split, language])).splitlines()
        for language in ("de", "en")
    )
    return [Pair(one, (other,)) for one, other in zip(german, english, strict=True)]

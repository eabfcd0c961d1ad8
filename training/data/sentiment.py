"""Trees of phrases that each say what they feel: all phrases teach, whole sentences are asked."""

import re
from collections.abc import Sequence

from training.config import DataConfig
from training.data.batches import DataFacts
from training.data.origin import Origin, read_made, read_text
from training.data.questions import Labelled, LabelledTexts, label_texts

_ROOT = (
    "https://raw.githubusercontent.com/munikarmanish/RNTN/"
    "12bb731ba9fbdcdf2368b8515a241773f2b97547/trees"
)
SST = {
    split: Origin(
        path=f"text_classification/sst_trees_{split}.txt.xz",
        url=f"{_ROOT}/{split}.txt",
        sha256=sha256,
    )
    for split, sha256 in (
        ("train", "e2f3f41b0b1e6d4dddc0effe3bfc2d27ed8928079aa9a03d652311614fc5feb7"),
        ("dev", "0e9336aed6e4730e19f58d00a77b3f0297efdb755f7b5e598c98a05e3f97ea40"),
        ("test", "6e54806dee95cf80cd918e7dfb3f6770f6df24bf826f289a4d1f709e1c8f6761"),
    )
}
_TRAIN_LINES = 8544
"""The origin's file goes on with the lines of `dev`."""
_LABELS = {0: "negative:very", 1: "negative:rather", 3: "positive:rather", 4: "positive:very"}
"""2 is neutral, and no class of the two."""
_BRACKETS = {"-LRB-": "(", "-RRB-": ")", "-LSB-": "[", "-RSB-": "]"}
_TREE_PART = re.compile(r"\((\d)|\)|([^()\s]+)")


def sst2(config: DataConfig, seed: int) -> LabelledTexts:
    """Socher et al. 2013, positive against negative, in the published split."""
    facts = DataFacts(
        title="Stanford Sentiment Treebank, positive or negative (SST-2)",
        source=_ROOT,
        licence="not stated",
        splits=(),
        note="The published split. Every phrase of the training trees that is not neutral is a "
        "training text, as in Tai et al. 2015; validation and test are whole sentences.",
    )
    train = read_made(SST["train"], (SST["train"].url,), first_lines)
    learn = [item for tree in train.splitlines() for item in phrases(tree)]
    held_out, tested = (
        [item for tree in read_text(SST[split]).splitlines() for item in sentences(tree)]
        for split in ("dev", "test")
    )
    unique = list(dict.fromkeys(learn))
    return label_texts(unique, held_out, tested, facts=facts, config=config, seed=seed)


def first_lines(parts: Sequence[bytes]) -> bytes:
    """The lines of the training split, of a file in which others follow them."""
    return b"".join(parts[0].splitlines(keepends=True)[:_TRAIN_LINES])


def phrases(tree: str) -> list[Labelled]:
    """Every phrase of a tree that is not neutral, the shorter ones first, the sentence last."""
    return [Labelled(text, _LABELS[score]) for score, text in _nodes(tree) if score in _LABELS]


def sentences(tree: str) -> list[Labelled]:
    """The sentence of a tree; none where it is neutral."""
    *_, (score, text) = _nodes(tree)
    return [Labelled(text, _LABELS[score])] if score in _LABELS else []


def _nodes(tree: str) -> list[tuple[int, str]]:
    """(score, text) of `(3 (2 so) (4 good))`, by where they end."""
    nodes: list[tuple[int, str]] = []
    words: list[str] = []
    opened: list[tuple[int, int]] = []
    """(score, number of words before it) of each node that has not ended."""
    parts: list[tuple[str, str]] = _TREE_PART.findall(tree)
    for score, word in parts:
        if score:
            opened.append((int(score), len(words)))
        elif word:
            words.append(_BRACKETS.get(word, word.replace("\\/", "/")))
        else:
            value, start = opened.pop()
            nodes.append((value, " ".join(words[start:])))
    return nodes

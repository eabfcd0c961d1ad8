"""How often a word's tag is right, or how many slots are found whole; and how often the intent is.

Slots (BIO tags) are counted by seqeval, as conlleval does: a slot is right if it begins, ends and
is called as it should.
"""

import warnings
from collections import Counter, defaultdict
from dataclasses import dataclass
from typing import cast

import numpy as np
import torch
from seqeval.metrics import f1_score
from torchmetrics.functional.classification import (
    multiclass_accuracy,
    multiclass_confusion_matrix,
)

from service.artifact.manifest import Metric
from training.data.batches import pad
from training.data.tagging import Sentences, TaggedSentences
from training.evaluation.evaluation import Evaluation, Picture
from training.evaluation.plots import bars_picture, confusion_picture
from training.runner import Runner

_ROWS = 64
_MAX_IN_MATRIX = 20
"""More tags than these are shown as bars."""
_SHOWN_BARS = 25

Tags = list[list[str]]


@dataclass(frozen=True, slots=True)
class Told:
    """What a model says of sentences: a tag for every word, and an intent."""

    tags: Tags
    intents: list[str]


def evaluate_tagging(data: TaggedSentences, runner: Runner, *, reference: str) -> Evaluation:
    """The test split's figures, beside giving each word its commonest tag in training."""
    test, told = data.tested, tell(data, data.tested, runner)
    truth = [list(item.tags) for item in test.items]
    floor = commonest_tags(data.learned, test)
    split = f"test, {len(test.items):,} sentences"
    slots = any(tag.startswith("B-") for tag in data.tags)
    metric = Metric(
        name="slot F1" if slots else "accuracy of words",
        value=slot_f1(truth, told.tags) if slots else accuracy(truth, told.tags),
        split=split,
        baseline=slot_f1(truth, floor) if slots else accuracy(truth, floor),
        baseline_name="each word's commonest tag",
        reference=reference,
    )
    picture = _bars(truth, told.tags) if len(data.tags) > _MAX_IN_MATRIX else _matrix(truth, told)
    metrics = (metric, _intent_metric(data, told, split)) if data.intents else (metric,)
    return Evaluation(metrics, picture)


def tell(data: TaggedSentences, sentences: Sentences, runner: Runner) -> Told:
    """A word's tag is its last piece's; the intent is the last step's."""
    told, num_tags = Told([], []), len(data.tags)
    for start in range(0, len(sentences.ids), _ROWS):
        batch = sentences.ids[start : start + _ROWS]
        lengths = np.array([len(ids) for ids in batch], np.int32)
        scores = runner.run(pad(batch).numpy(), lengths).outputs
        for row, length in enumerate(lengths):
            ends = sentences.last_pieces(start + row).numpy()
            tags = scores[row, ends, :num_tags].argmax(axis=-1)
            told.tags.append([data.tags[tag] for tag in tags])
            if data.intents:
                told.intents.append(data.intents[scores[row, length - 1, num_tags:].argmax()])
    return told


def commonest_tags(learned: Sentences, tested: Sentences) -> Tags:
    """Each word's commonest tag in training; the commonest of all for a word never seen."""
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for item in learned.items:
        for word, tag in zip(item.words, item.tags, strict=True):
            counts[word][tag] += 1
    total = sum(counts.values(), Counter[str]())
    default = total.most_common(1)[0][0]
    best = {word: tags.most_common(1)[0][0] for word, tags in counts.items()}
    return [[best.get(word, default) for word in item.words] for item in tested.items]


def slot_f1(truth: Tags, told: Tags) -> float:
    with warnings.catch_warnings():
        # A slot that is never told, or never true, counts as zero: that is what is wanted.
        warnings.simplefilter("ignore")
        return float(cast("float", f1_score(truth, told)))


def accuracy(truth: Tags, told: Tags) -> float:
    """By words; a true tag that training never saw is never right."""
    names = {tag: place for place, tag in enumerate(sorted({t for row in truth for t in row}))}
    expected, seen = (_flat(rows, names) for rows in (truth, told))
    right = multiclass_accuracy(seen, expected, num_classes=len(names) + 1, average="micro")
    return float(right)


def _intent_metric(data: TaggedSentences, told: Told, split: str) -> Metric:
    truth = [item.intent for item in data.tested.items]
    commonest, _ = Counter(item.intent for item in data.learned.items).most_common(1)[0]
    return Metric(
        name="intent accuracy",
        value=accuracy([truth], [told.intents]),
        split=split,
        baseline=accuracy([truth], [[commonest] * len(truth)]),
        baseline_name=f"always {commonest}",
    )


def _flat(rows: Tags, names: dict[str, int]) -> torch.Tensor:
    """Every tag's number; one more than all for tags without."""
    return torch.tensor([names.get(tag, len(names)) for row in rows for tag in row])


def _matrix(truth: Tags, told: Told) -> Picture:
    labels = sorted({tag for row in truth for tag in row})
    names = {tag: place for place, tag in enumerate(labels)}
    expected, seen = _flat(truth, names), _flat(told.tags, names)
    counts = multiclass_confusion_matrix(seen, expected, num_classes=len(labels) + 1)
    return Picture(
        "confusion.png",
        "Words of the test split by their tag (rows) and the model's (columns).",
        confusion_picture(counts.numpy()[:-1, :-1], labels),
    )


def _bars(truth: Tags, told: Tags) -> Picture:
    """How many words of each of the commonest slots are tagged right."""
    totals, right = Counter[str](), Counter[str]()
    for expected, seen in zip(truth, told, strict=True):
        for tag, given in zip(expected, seen, strict=True):
            totals[tag] += 1
            right[tag] += tag == given
    del totals["O"]
    shown = [tag for tag, _ in totals.most_common(_SHOWN_BARS)]
    return Picture(
        "slots.png",
        f"Words of the {len(shown)} commonest slots of the test split, and the share of each "
        "that is tagged right.",
        bars_picture(
            [f"{tag} ({totals[tag]})" for tag in shown], [right[tag] / totals[tag] for tag in shown]
        ),
    )

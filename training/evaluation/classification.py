"""How often the label is right, and which labels are taken for which."""

from collections import Counter
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torchmetrics.functional.classification import (
    multiclass_accuracy,
    multiclass_confusion_matrix,
)

from service.artifact.manifest import Metric
from training.data.batches import pad
from training.data.questions import LabelledTexts
from training.evaluation.evaluation import Evaluation, Picture
from training.evaluation.plots import Look, confusion_picture, looks_picture
from training.runner import Ran, Runner

_ROWS = 64
_LOOKS = 6
"""Texts whose weights are drawn, each of another label."""
_SHOWN_TOKENS = range(3, 15)


def evaluate_classification(data: LabelledTexts, runner: Runner, *, reference: str) -> Evaluation:
    """Accuracy on the test split, beside always saying the commonest training label."""
    classes = len(data.labels)
    told = told_of(data.tested.ids, runner)
    logits = torch.stack([torch.from_numpy(one.outputs) for one in told])  # [texts, classes]
    targets = torch.tensor([data.labels.index(item.class_name) for item in data.tested.items])
    commonest, _ = Counter(item.class_name for item in data.learned.items).most_common(1)[0]
    right = sum(item.class_name == commonest for item in data.tested.items)
    accuracy = multiclass_accuracy(logits, targets, num_classes=classes, average="micro")
    metric = Metric(
        name="accuracy",
        value=float(accuracy),
        split=f"test, {len(targets):,} texts",
        baseline=right / len(targets),
        baseline_name=f"always {commonest}",
        reference=reference,
    )
    confusion = multiclass_confusion_matrix(logits, targets, num_classes=classes)
    picture = Picture(
        "confusion.png",
        "Test texts by their label (rows) and the model's (columns).",
        confusion_picture(confusion.numpy(), data.labels),
    )
    return Evaluation((metric,), picture, more_pictures=_looks(data, told))


def told_of(texts: Sequence[Tensor], runner: Runner) -> list[Ran]:
    """Of each text, `outputs [classes]` and `attention [time, heads]`."""
    told = list[Ran]()
    for start in range(0, len(texts), _ROWS):
        batch = texts[start : start + _ROWS]
        lengths = np.array([len(ids) for ids in batch], np.int32)
        ran = runner.run(pad(batch).numpy(), lengths)
        for row, length in enumerate(lengths):
            weights = None if ran.attention is None else ran.attention[row, :length]
            told.append(Ran(ran.outputs[row], (), weights))
    return told


def _looks(data: LabelledTexts, told: Sequence[Ran]) -> tuple[Picture, ...]:
    """The first test text of each label, if it is short enough to be drawn."""
    shown: dict[str, Look] = {}
    for item, ids, one in zip(data.tested.items, data.tested.ids, told, strict=True):
        if one.attention is None:
            return ()
        if len(shown) < _LOOKS and len(ids) in _SHOWN_TOKENS and item.class_name not in shown:
            said = data.labels[int(one.outputs.argmax())]
            tokens = [data.tokenizer.id_to_token(token) or "" for token in ids.tolist()]
            answer = said if said == item.class_name else f"{said} (it is {item.class_name})"
            shown[item.class_name] = Look(tokens, one.attention, answer)
    if not shown:
        return ()
    caption = (
        "Test texts with what the model says of them; the darker a token, the more of the answer "
        "is drawn from its step (a request with `explain` gets these weights)."
    )
    return (Picture("attention.png", caption, looks_picture([*shown.values()])),)

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
from training.evaluation.plots import confusion_picture
from training.runner import Runner

_ROWS = 64


def evaluate_classification(data: LabelledTexts, runner: Runner, *, reference: str) -> Evaluation:
    """Accuracy on the test split, beside always saying the commonest training label."""
    classes = len(data.labels)
    logits = classify(data.tested.ids, runner)  # [texts, classes]
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
    return Evaluation((metric,), picture)


def classify(texts: Sequence[Tensor], runner: Runner) -> Tensor:
    """Scores of the classes `[texts, classes]` of texts `[time]`."""
    rows = list[Tensor]()
    for start in range(0, len(texts), _ROWS):
        batch = texts[start : start + _ROWS]
        lengths = np.array([len(ids) for ids in batch], np.int32)
        rows.append(torch.from_numpy(runner.run(pad(batch).numpy(), lengths).outputs))
    return torch.cat(rows)

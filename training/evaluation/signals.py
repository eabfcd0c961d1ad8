"""What a network of signals tells at the end of every test item, beside a constant answer."""

from collections import Counter
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torchmetrics.functional.classification import (
    multiclass_accuracy,
    multiclass_confusion_matrix,
)
from torchmetrics.functional.regression import mean_squared_error

from service.artifact.manifest import Metric
from training.data.batches import pad
from training.data.handwriting import STROKES
from training.data.signals import LabelledSignals, MeasuredSignals
from training.data.speech import SpokenWords
from training.evaluation.evaluation import Evaluation, Picture
from training.evaluation.plots import (
    Drawn,
    confusion_picture,
    strokes_picture,
    told_picture,
)
from training.runner import Runner

_ROWS = 64
_SHOWN_DIGITS = 4
_CONFUSION = "Test items by their label (rows) and the model's (columns)."


def evaluate_labelled(
    data: LabelledSignals | SpokenWords, runner: Runner, *, reference: str
) -> Evaluation:
    """Accuracy of the last step's label, beside always saying the commonest training label."""
    classes = len(data.labels)
    tested = data.split.tested
    answers = told(tested.rows, runner)
    logits = torch.from_numpy(np.stack([steps[-1] for steps in answers]))
    targets = torch.stack(list(tested.targets))
    commonest, _ = Counter(int(label) for label in data.split.learned.targets).most_common(1)[0]
    accuracy = multiclass_accuracy(logits, targets, num_classes=classes, average="micro")
    metric = Metric(
        name="accuracy",
        value=float(accuracy),
        split=f"test, {len(tested):,} items",
        baseline=float((targets == commonest).float().mean()),
        baseline_name=f"always {data.labels[commonest]}",
        reference=reference,
    )
    confusion = multiclass_confusion_matrix(logits, targets, num_classes=classes).numpy()
    if isinstance(data, LabelledSignals) and data.signals.features == STROKES:
        return Evaluation((metric,), _strokes_picture(data, confusion, answers))
    picture = Picture("confusion.png", _CONFUSION, confusion_picture(confusion, data.labels))
    return Evaluation((metric,), picture)


def _strokes_picture(
    data: LabelledSignals, confusion: NDArray[np.int64], answers: Sequence[NDArray[np.float32]]
) -> Picture:
    """Items evenly spread over the test split, whatever came of them."""
    tested = data.split.tested
    drawn = [
        Drawn(
            points=tested.rows[at].numpy(),
            read=[data.labels[best] for best in answers[at].argmax(axis=1)],
            label=data.labels[int(tested.targets[at])],
        )
        for at in np.linspace(0, len(tested) - 1, _SHOWN_DIGITS).astype(int)
    ]
    caption = f"{_CONFUSION} Four of them as they were drawn, and what was read on the way."
    return Picture("strokes.png", caption, strokes_picture(confusion, data.labels, drawn))


def evaluate_measured(data: MeasuredSignals, runner: Runner, *, reference: str) -> Evaluation:
    """Root mean squared error at each test item's last step, beside the best constant of train."""
    tested = data.split.tested
    seen = [steps[:, 0] for steps in told(tested.rows, runner)]
    last = torch.tensor([float(steps[-1]) for steps in seen])
    truth = torch.stack([steps[-1] for steps in tested.targets])
    constant = torch.cat(list(data.split.learned.targets)).mean().expand(len(truth))
    name, split = f"RMSE, {data.unit}", f"test, {len(tested):,} items"
    metrics = (
        Metric(
            name=name,
            value=_rmse(last, truth),
            split=split,
            baseline=_rmse(constant, truth),
            baseline_name="mean of train",
            reference=reference,
            lower_is_better=True,
        ),
        Metric(
            name=f"{name}, truth at most {data.cap:g}",
            value=_rmse(last, truth.clamp(max=data.cap)),
            split=split,
            baseline=_rmse(constant, truth.clamp(max=data.cap)),
            baseline_name="mean of train",
            lower_is_better=True,
        ),
    )
    longest = int(np.argmax([len(steps) for steps in seen]))
    picture = Picture(
        "told.png",
        "Left: what is told at the last step of every test item, in order of the truth. Right: "
        "the item with the most steps, told along the way.",
        told_picture(
            last.numpy(),
            truth.numpy(),
            along=(seen[longest], tested.targets[longest].numpy()),
            label=f"{data.name.replace('_', ' ')} [{data.unit}]",
        ),
    )
    return Evaluation(metrics, picture)


def told(rows: Sequence[Tensor], runner: Runner) -> list[NDArray[np.float32]]:
    """The graph's output at every step of each item, `[time, outputs]`."""
    outputs: list[NDArray[np.float32]] = []
    for start in range(0, len(rows), _ROWS):
        batch = rows[start : start + _ROWS]
        lengths = np.array([len(steps) for steps in batch], np.int32)
        ran = runner.run(pad(batch).numpy(), lengths)
        outputs += [row[:length] for row, length in zip(ran.outputs, lengths, strict=True)]
    return outputs


def _rmse(seen: Tensor, expected: Tensor) -> float:
    return float(mean_squared_error(seen, expected, squared=False))

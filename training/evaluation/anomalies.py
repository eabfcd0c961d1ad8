"""SKAB's protocol: all judged rows of all experiments, each right or wrong by itself.

No row is forgiven because a neighbour was found, as "point adjustment" would have it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torchmetrics.functional.classification import binary_f1_score, binary_stat_scores

from service.artifact.manifest import Metric
from training.data.anomalies import ODD_ABOVE, AnomalyData, Experiment
from training.evaluation.evaluation import Evaluation, Picture
from training.evaluation.plots import timeline_picture
from training.evaluation.signals import told
from training.runner import Runner


@dataclass(frozen=True, slots=True)
class Judged:
    """Shares of rows, by SKAB's names F1, FAR and MAR."""

    f1: float
    false_alarms: float
    """Of the normal rows, those that were taken for anomalies."""
    missed: float
    """Of the anomalies, those that were not found."""


def judge(found: torch.Tensor, odd: torch.Tensor) -> Judged:
    """Of 0 and 1 for every row."""
    right, false, quiet, missed, _ = binary_stat_scores(found, odd).tolist()
    return Judged(
        f1=float(binary_f1_score(found, odd)),
        false_alarms=false / max(1, false + quiet),
        missed=missed / max(1, missed + right),
    )


def evaluate_anomalies(data: AnomalyData, runner: Runner, *, reference: str) -> Evaluation:
    """Every experiment in one sequence, its first rows known to be normal."""
    scores = [steps[:, 0] for steps in told([one.rows for one in data.tested], runner)]
    judged = slice(data.num_normal, None)
    found = torch.cat([torch.from_numpy(steps[judged] > ODD_ABOVE) for steps in scores]).long()
    odd = torch.cat([one.odd[judged] for one in data.tested]).long()
    ours, always = judge(found, odd), judge(torch.ones_like(odd), odd)
    split = f"test, {len(odd):,} rows of {len(data.tested)} experiments"
    shares = (
        ("F1", ours.f1, always.f1, False),
        ("false alarm rate", ours.false_alarms, always.false_alarms, True),
        ("missed alarm rate", ours.missed, always.missed, True),
    )
    metrics = tuple(
        Metric(
            name=name,
            value=value,
            split=split,
            baseline=baseline,
            baseline_name="always an anomaly",
            reference=reference if name == "F1" else "",
            lower_is_better=lower,
        )
        for name, value, baseline, lower in shares
    )
    return Evaluation(metrics, _picture(data.tested, scores, data.num_normal))


def _picture(
    tested: Sequence[Experiment], scores: Sequence[np.ndarray], num_normal: int
) -> Picture:
    """The experiment in the middle of the list, whatever came of it."""
    at = len(tested) // 2
    shown = timeline_picture(
        tested[at].rows.numpy(),
        scores[at],
        tested[at].odd.numpy() > 0,
        threshold=ODD_ABOVE,
        num_normal=num_normal,
    )
    caption = (
        f"Experiment {tested[at].name}: the sensors, and the score; shaded are the anomalies. "
        "Rows before the upright line are known to be normal."
    )
    return Picture("timeline.png", caption, shown)

"""How many labels of spoken strings are written wrongly; decoded as the service does it.

Errors are those of torchmetrics' word error rate, a label a word: wrong, missing and additional
ones, for each label that was said.
"""

from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from torchmetrics.functional.text import word_error_rate

from service.artifact.ctc import collapse
from service.artifact.manifest import Metric
from training.data.speech import SpokenStrings
from training.evaluation.evaluation import Evaluation, Picture
from training.evaluation.plots import heard_picture
from training.evaluation.signals import told
from training.nn.features import Framing, LogMel
from training.runner import Runner

String = list[str]


def evaluate_strings(data: SpokenStrings, runner: Runner, *, reference: str) -> Evaluation:
    """Error rate of labels, beside a constant string: the commonest label, as often as is usual."""
    tested = data.split.tested
    found = [collapse(logits) for logits in told(tested.rows, runner)]
    written = [[data.labels[label] for label in one.labels] for one in found]
    said = [[data.labels[label - 1] for label in row.tolist()] for row in tested.targets]
    constant = _constant(data)
    split = f"test, {len(said):,} strings of {sum(map(len, said)):,} labels"
    rate = Metric(
        name="label error rate",
        value=error_rate(written, said),
        split=split,
        baseline=error_rate([constant] * len(said), said),
        baseline_name=f"always {''.join(constant)}",
        reference=reference,
        lower_is_better=True,
    )
    whole = Metric(
        name="strings without an error",
        value=_share_alike(written, said),
        split=split,
        baseline=_share_alike([constant] * len(said), said),
        baseline_name=rate.baseline_name,
    )
    shown = int(np.argmax([len(row) for row in said]))
    picture = Picture(
        "heard.png",
        f"The test string {''.join(said[shown])} in mel bands, and what was written when.",
        heard_picture(
            _bands(data, shown),
            [
                (int(step), label)
                for step, label in zip(found[shown].steps, written[shown], strict=True)
            ],
            step_seconds=data.sound.hop / data.sound.sample_rate,
        ),
    )
    return Evaluation((rate, whole), picture)


def error_rate(written: Sequence[String], said: Sequence[String]) -> float:
    rows = ([" ".join(row) for row in part] for part in (written, said))
    return float(word_error_rate(*rows))


def _share_alike(written: Sequence[String], said: Sequence[String]) -> float:
    return sum(one == other for one, other in zip(written, said, strict=True)) / len(said)


def _constant(data: SpokenStrings) -> String:
    """Of training: the commonest label, as often as the median string has labels."""
    learned = [row.tolist() for row in data.split.learned.targets]
    label, _ = Counter(label for row in learned for label in row).most_common(1)[0]
    return [data.labels[label - 1]] * int(np.median([len(row) for row in learned]))


def _bands(data: SpokenStrings, place: int) -> NDArray[np.float32]:
    """What the network is given of a test string, but for its scale: `[time, mels]` in nats."""
    rows = data.split.tested.rows[place]
    features = LogMel(Framing(data.sound.sample_rate, data.sound.hop))
    return features.energies(features.from_silence(rows)).numpy()

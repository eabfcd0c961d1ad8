"""Errors of written strings are counted a label at a time, beside a constant string's."""

import numpy as np
import pytest

from training.config import DataConfig
from training.data.synthetic import generated_tunes
from training.evaluation.strings import error_rate, evaluate_strings
from training.runner import Ran


def test_wrong_missing_and_additional_labels_are_errors_alike():
    said = [["1", "2", "3"], ["4", "4"]]
    assert error_rate(said, said) == 0.0
    assert error_rate([["1", "9", "3"], ["4", "4"]], said) == pytest.approx(1 / 5)
    assert error_rate([["1", "3"], ["4"]], said) == pytest.approx(2 / 5)
    assert error_rate([["1", "2", "3", "3"], []], said) == pytest.approx(3 / 5)


class Prompter:
    """A graph that knows the strings: it is told each batch's and gives their best paths."""

    def __init__(self, targets: list[list[int]], *, spoilt: int) -> None:
        self._targets = list(targets)
        self._spoilt = spoilt

    def run(self, inputs: np.ndarray, lengths: np.ndarray) -> Ran:
        logits = np.zeros((*inputs.shape[:2], 4), np.float32)
        logits[..., 0] = 1
        for row in logits:
            for place, label in enumerate(self._targets.pop(0)):
                if self._spoilt > 0 and place == 0:
                    self._spoilt -= 1
                    continue
                row[2 * place, label] = 9
        return Ran(logits, ())


def test_a_missed_label_counts_once_and_spoils_its_string():
    data = generated_tunes(DataConfig("generated-tunes", batch_size=4), 0)
    targets = [row.tolist() for row in data.split.tested.targets]
    prompter: object = Prompter(targets, spoilt=2)
    evaluation = evaluate_strings(data, prompter, reference="")  # type: ignore[arg-type]
    rate, whole = evaluation.metrics
    assert rate.value == pytest.approx(2 / sum(map(len, targets)))
    assert whole.value == pytest.approx(1 - 2 / len(targets))
    assert rate.lower_is_better
    assert rate.baseline is not None
    assert 0.5 < rate.baseline <= 1.2
    assert evaluation.picture.png.startswith(b"\x89PNG")

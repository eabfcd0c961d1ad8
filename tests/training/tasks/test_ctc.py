"""Strings are learned by the likelihood of all their alignments, and told by their best path."""

import itertools

import numpy as np
import pytest
import torch

from training.config import DataConfig, ModelConfig, OptimConfig, RunConfig
from training.data.batches import Batch
from training.nn.features import Framing
from training.nn.speech import Listener
from training.tasks.ctc import VALIDATION_ERROR, Ctc
from training.tasks.task import VALIDATION_LOSS

LABELS = 3


def task() -> Ctc:
    torch.manual_seed(0)
    model, optim = ModelConfig(cell="gru", hidden=8), OptimConfig(learning_rate=1e-2, max_epochs=1)
    network = Listener(model, Framing(8000, 20, 8), num_outputs=1 + LABELS)
    return Ctc(network, RunConfig("it", "", DataConfig("none", 1), model, optim))


def batch(*targets: list[int], time: int = 16) -> Batch:
    longest = max(map(len, targets))
    padded = torch.tensor([row + [0] * (longest - len(row)) for row in targets])
    hops = 0.1 * torch.randn(len(targets), time, 20, generator=torch.Generator().manual_seed(1))
    return Batch(hops, padded, torch.full((len(targets),), time))


def by_hand(logits: np.ndarray, target: list[int]) -> float:
    """Nats of `target`, over every path that collapses to it."""
    chances, total = torch.softmax(torch.from_numpy(logits), -1).double().numpy(), 0.0
    for path in itertools.product(range(1 + LABELS), repeat=len(logits)):
        if [label for label, _ in itertools.groupby(path) if label] == target:
            total += float(np.prod(chances[np.arange(len(path)), path]))
    return -float(np.log(total))


@pytest.mark.parametrize("target", [[1, 2], [3, 3]])
def test_the_loss_is_that_of_all_alignments_at_every_fourth_step(target: list[int]):
    made, given = task(), batch(target)
    with torch.no_grad():
        logits = made.network(given.inputs).outputs[0].numpy()
        seen = float(made.validation_figures(given)[VALIDATION_LOSS])
    assert seen == pytest.approx(by_hand(logits[::4], target) / len(target), rel=1e-4)


def test_the_mean_is_over_labels_whatever_rows_they_are_in():
    made, rows = task(), ([1, 2, 3], [2, 1])
    with torch.no_grad():
        both = made.validation_figures(batch(*rows))
    assert made.num_targets(batch(*rows)) == 5
    assert torch.isfinite(both[VALIDATION_LOSS])
    assert float(both[VALIDATION_ERROR]) > 0


def test_a_row_that_is_shorter_has_the_same_loss_alone():
    made, whole = task(), batch([1, 2], [3, 1])
    whole = Batch(whole.inputs, whole.targets, torch.tensor([16, 12]))
    alone = Batch(whole.inputs[1:, :12], whole.targets[1:], torch.tensor([12]))
    other = Batch(whole.inputs[:1], whole.targets[:1], torch.tensor([16]))
    with torch.no_grad():
        parts = [float(made.validation_figures(one)[VALIDATION_LOSS]) for one in (other, alone)]
        both = float(made.validation_figures(whole)[VALIDATION_LOSS])
    assert both == pytest.approx(sum(parts) / 2, rel=1e-5)


def test_single_words_are_also_told_apart_step_by_step():
    made, words = task(), batch([1], [2])
    torch.manual_seed(0)
    with_classes = float(made.loss(words).detach())
    with torch.no_grad():
        alone = float(made.validation_figures(words)[VALIDATION_LOSS])
    assert with_classes > alone + 1  # two means of nats among four, each above a half


def test_training_lowers_the_loss_of_a_string():
    made, given = task(), batch([1, 3, 2], [2, 2], time=40)
    optimizer = torch.optim.Adam(made.parameters(), lr=2e-2)
    losses = list[float]()
    for _ in range(60):
        loss = made.loss(given)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < losses[0] / 4

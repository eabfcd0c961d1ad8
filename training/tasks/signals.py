"""What is told of numbers at every step: a class, or a value. The later the step, the surer."""

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy
from torchmetrics.functional.classification import binary_f1_score, multiclass_accuracy

from training.data.batches import Batch
from training.nn.attention import valid_steps
from training.nn.signals import SignalNetwork
from training.nn.speech import Listener
from training.tasks.task import VALIDATION_LOSS, Task

VALIDATION_ACCURACY, VALIDATION_F1 = "validation_accuracy", "validation_f1"


class SignalClassification(Task):
    """The class at the last step, and at each step before it in proportion to how far it is."""

    network: SignalNetwork | Listener

    def loss(self, batch: Batch) -> Tensor:
        logits = self.network(batch.inputs, batch.lengths).outputs
        smoothing = self.config.optim.label_smoothing
        return nats_along(logits, batch.targets, _lengths(batch), smoothing=smoothing)

    def validation_figures(self, batch: Batch) -> dict[str, Tensor]:
        """Nats and accuracy at the last step."""
        logits = last_steps(self.network(batch.inputs, batch.lengths).outputs, _lengths(batch))
        accuracy = multiclass_accuracy(
            logits, batch.targets, num_classes=logits.shape[1], average="micro"
        )
        return {
            VALIDATION_LOSS: cross_entropy(logits, batch.targets),
            VALIDATION_ACCURACY: accuracy,
        }


class SignalRegression(Task):
    """Mean squared error at every step, in deviations of the value to tell."""

    network: SignalNetwork

    def loss(self, batch: Batch) -> Tensor:
        lengths = _lengths(batch)
        told = self.network(batch.inputs, batch.lengths).outputs.squeeze(-1)  # [batch, time]
        error = (told - batch.targets) / self.network.output_deviation
        valid = valid_steps(lengths, told.shape[1])
        return (error.square() * valid).sum() / valid.sum()


class SignalAnomaly(Task):
    """Whether each step is odd, in nats: made-up faults stand in for those that nobody has seen.

    The history gives the baseline and nothing else: no step of it is worth a gradient.
    """

    network: SignalNetwork

    def loss(self, batch: Batch) -> Tensor:
        return binary_cross_entropy_with_logits(*self._asked(batch))

    def validation_figures(self, batch: Batch) -> dict[str, Tensor]:
        scores, odd = self._asked(batch)
        return {
            VALIDATION_LOSS: binary_cross_entropy_with_logits(scores, odd),
            VALIDATION_F1: binary_f1_score(scores.sigmoid(), odd.long()),
        }

    def _asked(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Scores and targets after the history, each `[batch, time]`."""
        begin = batch.first_counted
        state = self.network.state_after_baseline(batch.inputs[:, :begin])
        scores = self.network(batch.inputs[:, begin:], None, state).outputs.squeeze(-1)
        return scores, batch.targets[:, begin:]


def nats_along(
    logits: Tensor, targets: Tensor, lengths: Tensor, *, smoothing: float = 0.0
) -> Tensor:
    """Of the classes `targets [batch]` in `logits [batch, time, classes]`: the later, the more.

    The mean of the last steps' nats, and of the means along the way.
    """
    time = logits.shape[1]
    nats = cross_entropy(
        logits.transpose(1, 2),
        targets.unsqueeze(1).expand(-1, time),
        reduction="none",
        label_smoothing=smoothing,
    )  # [batch, time]
    seen = torch.arange(1, time + 1, device=nats.device) / lengths.unsqueeze(1)
    weights = seen * valid_steps(lengths, time)
    along = (nats * weights).sum(dim=1) / weights.sum(dim=1)
    return (along + last_steps(nats, lengths)).mean()


def last_steps(steps: Tensor, lengths: Tensor) -> Tensor:
    """`[batch, time, ...]` at each row's last valid step, `[batch, ...]`."""
    return steps[torch.arange(len(steps), device=steps.device), lengths - 1]


def _lengths(batch: Batch) -> Tensor:
    assert batch.lengths is not None, "signals are ragged"
    return batch.lengths.to(batch.inputs.device)

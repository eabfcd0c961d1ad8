"""Labels in the order in which they are said, without being told when (Graves et al. 2006)."""

import torch
from torch import Tensor
from torch.nn.functional import ctc_loss, log_softmax
from torchmetrics.functional.text import word_error_rate

from service.artifact.ctc import BLANK, collapse
from training.data.batches import Batch
from training.nn.speech import Listener
from training.tasks.signals import nats_along
from training.tasks.task import VALIDATION_LOSS, Task

_STRIDE = 4
"""Steps of which one is asked for its label in training, each time others (Sak et al. 2015, arXiv
1507.06947, skip as many). Of all steps of a word at 100 a second, each with a small chance of its
label, one is likely to tell it: from there no way leads uphill to where some are sure of it. Once
the network is sure, all steps are asked, as they are when it is used."""
_SURE_AFTER = 0.6
"""Share of the epochs."""
VALIDATION_ERROR = "validation_error"


class Ctc(Task):
    """The likelihood of a string, summed over all ways in which its labels may lie in time.

    Targets are labels counted from 1, `[batch, labels]`, padded with 0.
    """

    network: Listener

    def loss(self, batch: Batch) -> Tensor:
        """Nats a label; of single words also those of a classifier, step by step.

        A network that hears nothing yet may write a word before it was said, and then never
        learns which: so first it learns to tell words apart (as Sak et al. 2015, arXiv 1507.06947,
        begin with networks that were trained frame by frame).
        """
        scores = self._scores(batch)
        is_sure = self.current_epoch >= _SURE_AFTER * self.config.optim.max_epochs
        stride = 1 if is_sure else _STRIDE
        first = int(torch.randint(0, stride, ()))
        nats = self._nats(scores, batch, asked=slice(first, None, stride))
        if batch.targets.shape[1] > 1:
            return nats
        lengths = _lengths(batch).to(scores.device)
        return nats + nats_along(scores, batch.targets[:, 0], lengths)

    def validation_figures(self, batch: Batch) -> dict[str, Tensor]:
        """Nats a label; and labels that are wrong, missing or too many, for each that was said."""
        scores = self._scores(batch)
        lengths, targets = _lengths(batch).tolist(), batch.targets.tolist()
        told = [
            " ".join(map(str, collapse(row[:length]).labels + 1))
            for row, length in zip(scores.cpu().numpy(), lengths, strict=True)
        ]
        said = [" ".join(str(label) for label in row if label != BLANK) for row in targets]
        error = word_error_rate(told, said)
        nats = self._nats(scores, batch, asked=slice(None, None, _STRIDE))
        return {VALIDATION_LOSS: nats, VALIDATION_ERROR: error}

    def num_targets(self, batch: Batch) -> int:
        return int(_num_labels(batch).sum())

    def _scores(self, batch: Batch) -> Tensor:
        """`[batch, time, 1 + labels]`. Without lengths: no step before a row's end sees what is
        after it, and torch is five times as fast where all rows are full."""
        return self.network(batch.inputs).outputs.float()

    def _nats(self, scores: Tensor, batch: Batch, *, asked: slice) -> Tensor:
        """A label, by the steps that are `asked` for theirs."""
        steps = scores[:, asked]
        first, stride = asked.start or 0, asked.step or 1
        nats = ctc_loss(
            log_softmax(steps, dim=-1).transpose(0, 1),  # [asked, batch, 1 + labels]
            batch.targets,
            -(-(_lengths(batch) - first) // stride).to(scores.device),
            _num_labels(batch),
            blank=BLANK,
            reduction="sum",
            zero_infinity=True,
        )
        return nats / self.num_targets(batch)


def _lengths(batch: Batch) -> Tensor:
    assert batch.lengths is not None, "sound is ragged"
    return batch.lengths


def _num_labels(batch: Batch) -> Tensor:
    """`[batch]`"""
    return (batch.targets != BLANK).sum(dim=1)

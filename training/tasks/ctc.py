"""Labels in the order in which they are said, without being told when (Graves et al. 2006)."""

from torch import Tensor
from torch.nn.functional import ctc_loss, log_softmax
from torchmetrics.functional.text import word_error_rate

from service.artifact.ctc import BLANK, collapse
from training.data.batches import Batch
from training.nn.speech import Listener
from training.tasks.signals import nats_along
from training.tasks.task import VALIDATION_LOSS, Task

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
        nats = self._nats(scores, batch)
        if batch.targets.shape[1] > 1:
            return nats
        words, lengths = batch.targets[:, 0] - 1, _lengths(batch).to(scores.device)
        return nats + nats_along(scores[..., BLANK + 1 :], words, lengths)

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
        return {VALIDATION_LOSS: self._nats(scores, batch), VALIDATION_ERROR: error}

    def num_targets(self, batch: Batch) -> int:
        return int(_num_labels(batch).sum())

    def _scores(self, batch: Batch) -> Tensor:
        """`[batch, time, 1 + labels]`. Without lengths: no step before a row's end sees what is
        after it, and torch is five times as fast where all rows are full."""
        return self.network(batch.inputs).outputs.float()

    def _nats(self, scores: Tensor, batch: Batch) -> Tensor:
        nats = ctc_loss(
            log_softmax(scores, dim=-1).transpose(0, 1),  # [time, batch, 1 + labels]
            batch.targets,
            _lengths(batch).to(scores.device),
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

"""One label for every step, and where the data has one, another for the whole sequence."""

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy
from torchmetrics.functional.classification import multiclass_accuracy

from training.data.batches import NOT_COUNTED, Batch
from training.nn.tagger import Tagger
from training.tasks.task import VALIDATION_LOSS, Task

VALIDATION_ACCURACY = "validation_accuracy"


class Tagging(Task):
    """Cross-entropy of the tags, and of the intent that the last step of a row tells."""

    network: Tagger

    def loss(self, batch: Batch) -> Tensor:
        """A batch's targets are an intent and then a tag for every step, `[batch, 1 + time]`."""
        return self._loss(self._scores(batch), batch, self.config.optim.label_smoothing)

    def validation_figures(self, batch: Batch) -> dict[str, Tensor]:
        scores, tags = self._scores(batch), self.network.num_tags
        accuracy = multiclass_accuracy(
            scores[..., :tags].flatten(0, 1),
            batch.targets[:, 1:].flatten(),
            num_classes=tags,
            average="micro",
            ignore_index=NOT_COUNTED,
        )
        return {VALIDATION_LOSS: self._loss(scores, batch, 0.0), VALIDATION_ACCURACY: accuracy}

    def _scores(self, batch: Batch) -> Tensor:
        return self.network(batch.inputs, batch.lengths).outputs

    def _loss(self, scores: Tensor, batch: Batch, smoothing: float) -> Tensor:
        tags = scores[..., : self.network.num_tags].transpose(1, 2)  # [batch, tags, time]
        loss = cross_entropy(
            tags, batch.targets[:, 1:], ignore_index=NOT_COUNTED, label_smoothing=smoothing
        )
        if not self.network.num_intents:
            return loss
        assert batch.lengths is not None, "sentences differ in length"
        rows = torch.arange(batch.num_rows)
        last = scores[rows, batch.lengths - 1, self.network.num_tags :]  # [batch, intents]
        return loss + cross_entropy(last, batch.targets[:, 0], ignore_index=NOT_COUNTED)

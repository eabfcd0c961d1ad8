"""One label for a whole sequence, learned by way of finer ones where the data has them."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy
from torchmetrics.classification import MulticlassAccuracy

from training.config import RunConfig
from training.data.batches import Batch
from training.nn.models import SequenceClassifier
from training.tasks.task import Task

VALIDATION_ACCURACY = "validation_accuracy"


class Classification(Task):
    """Cross-entropy of classes and of their kinds, smoothed so that odd labels do not rule."""

    network: SequenceClassifier

    class_of_kind: Tensor

    def __init__(
        self, network: SequenceClassifier, config: RunConfig, class_of_kind: Sequence[int]
    ) -> None:
        super().__init__(network, config)
        self.accuracy = MulticlassAccuracy(network.head.num_classes, average="micro")
        self.register_buffer("class_of_kind", torch.tensor(class_of_kind))

    def loss(self, batch: Batch) -> Tensor:
        smoothing = self.config.optim.label_smoothing
        kinds = self.network.kinds(batch.inputs, batch.lengths)
        classes = self.network.head.grouped(kinds)
        loss = cross_entropy(classes, self._classes(batch), label_smoothing=smoothing)
        return loss + cross_entropy(kinds, batch.targets, label_smoothing=smoothing)

    def validation_loss(self, batch: Batch) -> Tensor:
        """Nats per label, and the accuracy beside it."""
        logits = self.network(batch.inputs, batch.lengths).outputs
        self.accuracy(logits, self._classes(batch))
        self.log(VALIDATION_ACCURACY, self.accuracy, on_epoch=True, on_step=False, prog_bar=True)
        return cross_entropy(logits, self._classes(batch))

    def _classes(self, batch: Batch) -> Tensor:
        """The targets are kinds, `[batch]`; these are their classes."""
        return self.class_of_kind[batch.targets]

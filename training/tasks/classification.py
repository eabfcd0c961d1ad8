"""One label for a whole sequence, learned by way of finer ones where the data has them."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy
from torchmetrics.functional.classification import multiclass_accuracy

from training.config import RunConfig
from training.data.batches import Batch
from training.nn.models import SequenceClassifier
from training.tasks.task import VALIDATION_LOSS, Task

VALIDATION_ACCURACY = "validation_accuracy"


class Classification(Task):
    """Cross-entropy of classes and of their kinds, smoothed so that odd labels do not rule."""

    network: SequenceClassifier

    class_of_kind: Tensor

    def __init__(
        self, network: SequenceClassifier, config: RunConfig, class_of_kind: Sequence[int]
    ) -> None:
        super().__init__(network, config)
        self.register_buffer("class_of_kind", torch.tensor(class_of_kind))

    def loss(self, batch: Batch) -> Tensor:
        smoothing = self.config.optim.label_smoothing
        kinds = self.network.kinds(batch.inputs, batch.lengths)
        classes = self.network.head.grouped(kinds)
        loss = cross_entropy(classes, self._classes(batch), label_smoothing=smoothing)
        return loss + cross_entropy(kinds, batch.targets, label_smoothing=smoothing)

    def validation_figures(self, batch: Batch) -> dict[str, Tensor]:
        """Nats per class and accuracy: what serving will be asked for, without the kinds."""
        logits, classes = self.network(batch.inputs, batch.lengths).outputs, self._classes(batch)
        accuracy = multiclass_accuracy(
            logits, classes, num_classes=self.network.head.num_classes, average="micro"
        )
        return {VALIDATION_LOSS: cross_entropy(logits, classes), VALIDATION_ACCURACY: accuracy}

    def _classes(self, batch: Batch) -> Tensor:
        """The targets are kinds, `[batch]`; these are their classes."""
        return self.class_of_kind[batch.targets]

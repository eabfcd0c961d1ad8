"""One label for a whole sequence."""

from torch import Tensor
from torch.nn.functional import cross_entropy
from torchmetrics.classification import MulticlassAccuracy

from training.config import RunConfig
from training.data.batches import Batch
from training.nn.models import SequenceClassifier
from training.tasks.task import Task

VALIDATION_ACCURACY = "validation_accuracy"


class Classification(Task):
    """Cross-entropy, smoothed in training so that a few odd labels do not rule."""

    network: SequenceClassifier

    def __init__(self, network: SequenceClassifier, config: RunConfig, num_classes: int) -> None:
        super().__init__(network, config)
        self.accuracy = MulticlassAccuracy(num_classes, average="micro")

    def loss(self, batch: Batch) -> Tensor:
        smoothing = self.config.optim.label_smoothing
        return cross_entropy(self._logits(batch), batch.targets, label_smoothing=smoothing)

    def validation_loss(self, batch: Batch) -> Tensor:
        """Nats per label, and the accuracy beside it."""
        logits = self._logits(batch)
        self.accuracy(logits, batch.targets)
        self.log(VALIDATION_ACCURACY, self.accuracy, on_epoch=True, on_step=False, prog_bar=True)
        return cross_entropy(logits, batch.targets)

    def _logits(self, batch: Batch) -> Tensor:
        return self.network(batch.inputs, batch.lengths).outputs

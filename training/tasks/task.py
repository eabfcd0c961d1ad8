"""What all tasks share: the optimiser, its schedule, and randomness that only the epoch decides."""

import math

import lightning
import torch
from lightning.pytorch.utilities.types import OptimizerLRSchedulerConfig
from torch import Tensor, nn
from torch.optim import AdamW
from torch.optim.lr_scheduler import LambdaLR

from training.config import OptimConfig, RunConfig
from training.data.batches import Batch, epoch_seed

TRAIN_LOSS = "train_loss"
VALIDATION_LOSS = "validation_loss"


class Task(lightning.LightningModule):
    """A network, and what its numbers mean. Subclasses say the loss."""

    def __init__(self, network: nn.Module, config: RunConfig) -> None:
        super().__init__()
        self.network = network
        self.config = config

    def loss(self, batch: Batch) -> Tensor:
        """The mean loss of a batch that training lowers."""
        raise NotImplementedError

    def validation_figures(self, batch: Batch) -> dict[str, Tensor]:
        """Means over the batch's targets; `VALIDATION_LOSS` chooses the epoch."""
        return {VALIDATION_LOSS: self.loss(batch)}

    def num_targets(self, batch: Batch) -> int:
        """What a batch's mean is the mean of."""
        return batch.targets.numel()

    def on_train_epoch_start(self) -> None:
        """Dropout of an epoch is the same whether or not the run was killed before it."""
        torch.manual_seed(epoch_seed(self.config.seed, self.current_epoch) + self.global_rank)

    def training_step(self, batch: Batch) -> Tensor:
        loss = self.loss(batch)
        self._log_mean(TRAIN_LOSS, loss, batch)
        return loss

    def validation_step(self, batch: Batch) -> None:
        for name, value in self.validation_figures(batch).items():
            self._log_mean(name, value, batch)

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        optim = self.config.optim
        optimizer = AdamW(
            self.parameters(), lr=optim.learning_rate, weight_decay=optim.weight_decay
        )
        total = max(1, int(self.trainer.estimated_stepping_batches))
        schedule = LambdaLR(optimizer, lambda step: rate(step, total, optim))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def _log_mean(self, name: str, value: Tensor, batch: Batch) -> None:
        """Logged as the epoch's mean over targets, of all devices."""
        targets = self.num_targets(batch)
        self.log(name, value, on_epoch=True, on_step=False, batch_size=targets, sync_dist=True)


def rate(step: int, total: int, optim: OptimConfig) -> float:
    """The share of the learning rate at `step`: up in a line, down in half a cosine."""
    warm_up = max(1, int(total * optim.warm_up_fraction))
    if step < warm_up:
        return (step + 1) / warm_up
    done = min(1.0, (step - warm_up) / max(1, total - warm_up))
    return (1 + math.cos(math.pi * done)) / 2

"""The rows that follow, forecast at every step."""

from torch import Tensor

from training.data.batches import Batch
from training.nn.models import Forecaster
from training.tasks.task import Task


class Forecasting(Task):
    """Mean squared error in scaled units, so that every variable counts alike."""

    network: Forecaster

    def loss(self, batch: Batch) -> Tensor:
        forecast = self.network(batch.inputs, batch.lengths).outputs
        error = (forecast - batch.targets) / self.network.deviation  # [batch, time, horizon, f]
        counted = error[:, batch.first_counted :]
        return counted.square().mean()

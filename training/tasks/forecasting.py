"""The rows that follow, forecast at every step."""

from torch import Tensor

from training.data.batches import Batch
from training.nn.bands import BandForecaster, pinball
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


class BandForecasting(Task):
    """Mean pinball loss of all quantiles, each series in its own size, so that all count alike.

    Of 0.1, 0.5 and 0.9 it is a third of half the absolute error, and of what the bands miss by.
    """

    network: BandForecaster

    def loss(self, batch: Batch) -> Tensor:
        bands = self.network(batch.inputs, batch.lengths).outputs  # [batch, time, q, horizon, 1]
        size = batch.inputs.abs().mean(dim=(1, 2)).view(-1, 1, 1, 1, 1)
        error = (batch.targets.unsqueeze(2) - bands) / size
        return pinball(error[:, batch.first_counted :], self.network.quantiles).mean()

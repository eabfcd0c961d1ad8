"""What all tasks share: the schedule, and a loss over what counts."""

import torch

from service.artifact.scaling import Scaling
from training.config import DataConfig, ModelConfig, OptimConfig, RunConfig
from training.data.batches import Batch
from training.nn.models import Forecaster, SequenceClassifier
from training.tasks.classification import Classification
from training.tasks.forecasting import Forecasting
from training.tasks.task import VALIDATION_LOSS, rate

OPTIM = OptimConfig(learning_rate=1.0, max_epochs=1, warm_up_fraction=0.1)


def config(model: ModelConfig) -> RunConfig:
    data = DataConfig("generated-text", batch_size=2)
    return RunConfig("run", "", data=data, model=model, optim=OPTIM)


def test_the_rate_rises_in_a_line_and_falls_to_zero():
    rates = [rate(step, 100, OPTIM) for step in range(101)]
    assert rates[0] == 0.1
    assert max(rates) == rates[9] == rates[10] == 1.0
    assert rates[10:] == sorted(rates[10:], reverse=True)
    assert rates[100] == 0.0


def test_history_carries_no_loss():
    model = ModelConfig(cell="gru", hidden=4, recent_steps=3)
    scaling = Scaling(mean=(0.0, 0.0), deviation=(1.0, 2.0))
    task = Forecasting(Forecaster(model, scaling, horizon=3), config(model)).eval()
    values, targets = torch.randn(1, 9, 2), torch.randn(1, 9, 3, 2)
    wild = targets.clone()
    wild[:, :5] = 1e6
    counted = task.loss(Batch(values, targets, first_counted=5))
    assert torch.equal(counted, task.loss(Batch(values, wild, first_counted=5)))


def test_the_forecast_loss_is_in_scaled_units():
    model = ModelConfig(cell="gru", hidden=4, recent_steps=3)
    scaling = Scaling(mean=(0.0, 0.0), deviation=(1.0, 2.0))
    task = Forecasting(Forecaster(model, scaling, horizon=3), config(model)).eval()
    values = torch.randn(1, 9, 2)
    forecast = task.network(values).outputs.detach()
    off = forecast + torch.tensor([1.0, 2.0])  # one deviation each
    torch.testing.assert_close(task.loss(Batch(values, off)), torch.tensor(1.0))


def test_a_kind_of_the_right_class_is_not_an_error_of_the_class():
    model = ModelConfig(cell="gru", hidden=4, embedding=3)
    class_of_kind = [0, 0, 1]
    network = SequenceClassifier(model, 9, class_of_kind, unknown=1)
    task = Classification(network, config(model), class_of_kind).eval()
    tokens, lengths = torch.randint(0, 9, (2, 4)), torch.tensor([4, 3])
    first, sibling, other = (
        task.validation_figures(Batch(tokens, torch.tensor([kind, kind]), lengths))[VALIDATION_LOSS]
        for kind in (0, 1, 2)
    )
    assert first == sibling
    assert first != other

"""What counts in the losses of signals: valid steps, later ones more, and no history."""

import torch

from service.artifact.scaling import Scaling
from training.config import DataConfig, ModelConfig, OptimConfig, Reading, RunConfig
from training.data.batches import Batch
from training.nn.signals import SignalNetwork
from training.tasks.signals import (
    SignalAnomaly,
    SignalClassification,
    SignalRegression,
    last_steps,
)

LENGTHS = torch.tensor([5, 2])


def config(reading: Reading = "plain") -> RunConfig:
    return RunConfig(
        "run",
        "",
        data=DataConfig("any", batch_size=2),
        model=ModelConfig(cell="gru", hidden=4, reading=reading, baseline_steps=6),
        optim=OptimConfig(learning_rate=1.0, max_epochs=1),
    )


def network(outputs: Scaling, reading: Reading = "plain") -> SignalNetwork:
    torch.manual_seed(0)
    scaling = Scaling(mean=(0.0, 1.0), deviation=(1.0, 2.0))
    return SignalNetwork(
        config(reading).model, scaling, outputs, paces=(1.0, 1.0), name="out"
    ).eval()


def plain(count: int) -> Scaling:
    return Scaling(mean=(0.0,) * count, deviation=(1.0,) * count)


def test_padding_carries_no_loss():
    values, wild = torch.randn(2, 5, 2), torch.randn(2, 5, 2)
    wild[0], wild[1, :2] = values[0], values[1, :2]
    classes, lives = torch.tensor([0, 2]), torch.randn(2, 5)
    odd_lives = lives.clone()
    odd_lives[1, 2:] = 1e6
    labelled = SignalClassification(network(plain(3)), config())
    measured = SignalRegression(network(plain(1)), config())
    assert torch.equal(
        labelled.loss(Batch(values, classes, LENGTHS)), labelled.loss(Batch(wild, classes, LENGTHS))
    )
    assert torch.equal(
        measured.loss(Batch(values, lives, LENGTHS)), measured.loss(Batch(wild, odd_lives, LENGTHS))
    )


def test_a_value_is_missed_in_deviations():
    values, lives = torch.randn(2, 5, 2), torch.randn(2, 5) * 50
    made = network(Scaling(mean=(60.0,), deviation=(25.0,)))
    told = made(values, LENGTHS).outputs.squeeze(-1)
    valid = torch.arange(5) < LENGTHS.unsqueeze(1)
    expected = ((told - lives) / 25)[valid].square().mean()
    torch.testing.assert_close(
        SignalRegression(made, config()).loss(Batch(values, lives, LENGTHS)), expected
    )


def test_validation_looks_at_the_last_step_of_each_row():
    steps = torch.arange(20.0).view(2, 5, 2)
    assert last_steps(steps, LENGTHS).tolist() == [[8, 9], [12, 13]]


def test_what_history_tells_is_only_the_baseline():
    task = SignalAnomaly(network(plain(1), "baseline"), config("baseline"))
    values, odd = torch.randn(2, 12, 2), torch.zeros(2, 12)
    marked = odd.clone()
    marked[:, :6] = 1
    loss = task.loss(Batch(values, odd, first_counted=6))
    assert torch.equal(loss, task.loss(Batch(values, marked, first_counted=6)))
    reversed_history = torch.cat([values[:, :6].flip(1), values[:, 6:]], dim=1)
    torch.testing.assert_close(loss, task.loss(Batch(reversed_history, odd, first_counted=6)))
    other = torch.cat([values[:, :6] + 3, values[:, 6:]], dim=1)
    assert not torch.allclose(loss, task.loss(Batch(other, odd, first_counted=6)))

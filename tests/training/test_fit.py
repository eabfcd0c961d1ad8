"""A run that was killed and resumed ends where an uninterrupted one ends, to the bit."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import torch

from training.config import RunConfig
from training.data.batches import Batch, Data, DataFacts, Shard
from training.data.build import build as build_data
from training.fit import FitError, fit, load_kept, read_curve
from training.recipes.registry import find_recipe
from training.recipes.steps import Folders, train
from training.tasks.build import AnyTask
from training.tasks.build import build as build_task
from training.tasks.task import VALIDATION_LOSS


class Killed(Exception):
    """Stands for the power going out."""


class CutOff(Sequence[Batch]):
    """Batches of an epoch that never ends."""

    def __init__(self, batches: Sequence[Batch]) -> None:
        self._batches = batches

    def __len__(self) -> int:
        return len(self._batches)

    def __getitem__(self, index):
        return self._batches[index]

    def __iter__(self) -> Iterator[Batch]:
        yield self._batches[0]
        raise Killed


@dataclass(frozen=True, slots=True)
class FailingData:
    """The same data, until the power goes out in the middle of an epoch."""

    data: Data
    fatal_epoch: int

    @property
    def facts(self) -> DataFacts:
        return self.data.facts

    def train(self, epoch: int, shard: Shard) -> Sequence[Batch]:
        batches = self.data.train(epoch, shard)
        return CutOff(batches) if epoch == self.fatal_epoch else batches

    def validation(self) -> Sequence[Batch]:
        return self.data.validation()


def with_dropout(name: str) -> RunConfig:
    config = find_recipe(name)
    return replace(config, model=replace(config.model, dropout=0.3, layers=2))


def untrained(config: RunConfig, data: Data) -> AnyTask:
    torch.manual_seed(config.seed)
    return build_task(config, data)


def weights(task: AnyTask) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in task.network.state_dict().items()}


def assert_same(seen: dict[str, torch.Tensor], expected: dict[str, torch.Tensor]) -> None:
    assert seen.keys() == expected.keys()
    for name, value in seen.items():
        assert torch.equal(value, expected[name]), name


@pytest.mark.slow
@pytest.mark.parametrize("name", ["tiny-language", "tiny-questions", "tiny-series"])
def test_killed_within_an_epoch_and_resumed_is_uninterrupted(name: str, tmp_path: Path):
    config = with_dropout(name)
    data = build_data(config.data, config.seed)
    whole = untrained(config, data)
    fit(config, whole, data, folder=tmp_path / "whole")

    folder = tmp_path / "killed"
    with pytest.raises(Killed):
        fit(config, untrained(config, data), FailingData(data, 1), folder=folder)
    torch.manual_seed(12345)  # another process has another history of random numbers
    resumed = build_task(config, data)
    fit(config, resumed, data, folder=folder, resume=True)

    assert_same(weights(resumed), weights(whole))
    assert read_curve(folder) == read_curve(tmp_path / "whole")
    load_kept(resumed, folder)
    load_kept(whole, tmp_path / "whole")
    assert_same(weights(resumed), weights(whole))


@pytest.mark.slow
def test_a_process_killed_for_good_resumes_to_the_same_weights(tmp_path: Path):
    command = [sys.executable, "-m", "training", "train", "tiny-language", "--max-epochs", "12"]
    killed = tmp_path / "killed"
    environment = {**os.environ, "PYTHONWARNINGS": "ignore"}
    process = subprocess.Popen(
        [*command, "--runs", str(killed)], env=environment, stdout=subprocess.DEVNULL
    )
    last = killed / "tiny-language" / "last.ckpt"
    deadline = time.monotonic() + 60
    while not last.exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL, "the run was over before it could be killed"

    subprocess.run([*command, "--runs", str(killed), "--resume"], check=True, env=environment)
    config = find_recipe("tiny-language")
    config = replace(config, optim=replace(config.optim, max_epochs=12))
    whole = train(config, Folders(runs=tmp_path / "whole"))
    data = build_data(config.data, config.seed)
    resumed = untrained(config, data)
    load_kept(resumed, killed / config.name)
    assert_same(weights(resumed), weights(whole))
    assert len(read_curve(killed / config.name)) == 12


@pytest.mark.slow
def test_another_seed_gives_another_model(tmp_path: Path):
    config = find_recipe("tiny-questions")
    first = train(config, Folders(runs=tmp_path / "first"))
    again = train(config, Folders(runs=tmp_path / "again"))
    other = train(replace(config, seed=1), Folders(runs=tmp_path / "other"))
    assert_same(weights(first), weights(again))
    assert not torch.equal(first.network.embedding.own.weight, other.network.embedding.own.weight)


@pytest.mark.slow
def test_the_best_epoch_is_kept_and_patience_ends_the_run(tmp_path: Path):
    config = find_recipe("tiny-questions")
    # So high a rate that the loss soon gets worse.
    optim = replace(config.optim, learning_rate=3.0, max_epochs=30, patience_epochs=2)
    config = replace(config, optim=optim)
    task = train(config, Folders(runs=tmp_path))
    losses = [point.figures[VALIDATION_LOSS] for point in read_curve(tmp_path / config.name)]
    assert len(losses) < 30
    assert len(losses) == losses.index(min(losses)) + 1 + 2
    data = build_data(config.data, config.seed)
    kept = [task.validation_figures(batch)[VALIDATION_LOSS] for batch in data.validation()]
    rows = [batch.num_rows for batch in data.validation()]
    mean = sum(loss.item() * n for loss, n in zip(kept, rows, strict=True)) / sum(rows)
    assert mean == pytest.approx(min(losses), rel=1e-4)


@pytest.mark.slow
def test_mixed_precision_learns_too(tmp_path: Path):
    config = replace(find_recipe("tiny-language"), precision="bf16-mixed")
    train(config, Folders(runs=tmp_path))
    losses = [point.figures[VALIDATION_LOSS] for point in read_curve(tmp_path / config.name)]
    assert losses[-1] < losses[0]


@pytest.mark.slow
def test_two_devices_train_one_model_together(tmp_path: Path):
    command = [sys.executable, "-m", "training", "train", "tiny-questions", "--devices", "2"]
    subprocess.run([*command, "--runs", str(tmp_path)], check=True, capture_output=True)
    losses = [point.figures[VALIDATION_LOSS] for point in read_curve(tmp_path / "tiny-questions")]
    assert len(losses) == 3
    assert losses[-1] < losses[0]


def test_nothing_to_resume_is_said(tmp_path: Path):
    config = find_recipe("tiny-language")
    data = build_data(config.data, config.seed)
    with pytest.raises(FitError, match="nothing to resume"):
        fit(config, untrained(config, data), data, folder=tmp_path, resume=True)


def test_a_run_that_left_nothing_cannot_be_loaded(tmp_path: Path):
    config = find_recipe("tiny-language")
    data = build_data(config.data, config.seed)
    with pytest.raises(FitError, match="no trained model"):
        load_kept(untrained(config, data), tmp_path)

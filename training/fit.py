"""A training run: the same weights whether it ran through or was killed and resumed.

Everything random in an epoch follows from (seed, epoch), and every epoch ends with a checkpoint.
"""

import csv
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning
import torch
from lightning.pytorch.callbacks import (
    Callback,
    EarlyStopping,
    ModelCheckpoint,
    RichProgressBar,
)

from training.config import RunConfig
from training.data.batches import Batch, Data, Shard
from training.tasks.build import AnyTask
from training.tasks.task import VALIDATION_LOSS

_LAST, _BEST, _CURVE = "last.ckpt", "best.ckpt", "curve.csv"


@dataclass(frozen=True, slots=True)
class CurvePoint:
    """One epoch of the learning curve."""

    epoch: int
    figures: Mapping[str, float]


class FitError(Exception):
    """The run cannot go on, or has left nothing to go on from."""


def fit(
    config: RunConfig,
    task: AnyTask,
    data: Data,
    *,
    folder: Path,
    resume: bool = False,
    progress: bool = False,
) -> None:
    """Train `task` in place; `folder` gets the last and the best checkpoint and the curve.

    With `resume` the run goes on after the last whole epoch in `folder`; without it, what an
    earlier run left there is removed.
    """
    last = folder / _LAST
    if resume and not last.exists():
        raise FitError(f"nothing to resume: {last} does not exist")
    if not resume:
        for name in (_LAST, _BEST, _CURVE):
            (folder / name).unlink(missing_ok=True)
    torch.set_num_threads(config.threads)
    trainer = lightning.Trainer(
        accelerator=config.accelerator,
        devices=config.devices,
        precision=config.precision,
        max_epochs=config.optim.max_epochs,
        gradient_clip_val=config.optim.clip_norm,
        reload_dataloaders_every_n_epochs=1,
        use_distributed_sampler=False,
        num_sanity_val_steps=0,
        logger=False,
        callbacks=_callbacks(config, folder, progress=progress),
        enable_progress_bar=progress,
        enable_model_summary=False,
    )
    with warnings.catch_warnings():
        # Meant: a resumed run finds its own checkpoints, and writes over them.
        warnings.filterwarnings("ignore", message="Checkpoint directory .* exists")
        # Lightning still asks torch the old way.
        warnings.filterwarnings("ignore", message=".*LeafSpec.* is deprecated")
        trainer.fit(task, datamodule=_Epochs(data), ckpt_path=last if resume else None)


def load_kept(task: AnyTask, folder: Path) -> None:
    """Give `task` the weights of the epoch that its recipe keeps."""
    kept = folder / {"best": _BEST, "last": _LAST}[task.config.optim.keep]
    if not kept.exists():
        raise FitError(f"no trained model: {kept} does not exist")
    checkpoint = torch.load(kept, map_location="cpu", weights_only=True)
    task.load_state_dict(checkpoint["state_dict"])
    task.eval()


def read_curve(folder: Path) -> list[CurvePoint]:
    """The figures of every epoch, in order."""
    with (folder / _CURVE).open(newline="") as file:
        rows = list(csv.DictReader(file))
    return [
        CurvePoint(int(row["epoch"]), {k: float(v) for k, v in row.items() if k != "epoch" and v})
        for row in rows
    ]


class _Epochs(lightning.LightningDataModule):
    """Hands the trainer the batches of the epoch it is in, and of the device it runs on."""

    def __init__(self, data: Data) -> None:
        super().__init__()
        self._data = data

    def train_dataloader(self) -> "_Pass":
        assert self.trainer is not None
        shard = Shard(self.trainer.global_rank, self.trainer.world_size)
        return _Pass(self._data.train(self.trainer.current_epoch, shard))

    def val_dataloader(self) -> "_Pass":
        return _Pass(self._data.validation())


class _Pass:
    """Batches in order. Lightning takes a bare list for a list of loaders."""

    def __init__(self, batches: Sequence[Batch]) -> None:
        self._batches = batches

    def __len__(self) -> int:
        return len(self._batches)

    def __iter__(self) -> Iterator[Batch]:
        return iter(self._batches)


class _Curve(Callback):
    """The figures of each epoch, kept in the checkpoint too so that a resumed run has them all."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._rows: list[dict[str, float]] = []

    def on_train_epoch_end(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule
    ) -> None:
        figures = {name: float(value) for name, value in trainer.callback_metrics.items()}
        self._rows.append({"epoch": trainer.current_epoch, **figures})
        if trainer.is_global_zero:
            self._write()

    def state_dict(self) -> dict[str, Any]:
        return {"rows": self._rows}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._rows = list(state_dict["rows"])

    def _write(self) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._path.open("w", newline="") as file:
            writer = csv.DictWriter(file, fieldnames=list(self._rows[-1]))
            writer.writeheader()
            writer.writerows(self._rows)


def _callbacks(config: RunConfig, folder: Path, *, progress: bool) -> list[Callback]:
    # The curve comes before the checkpoints, so that they hold the epoch they end.
    callbacks: list[Callback] = [_Curve(folder / _CURVE)]
    if config.optim.patience_epochs is not None:
        callbacks.append(
            EarlyStopping(VALIDATION_LOSS, patience=config.optim.patience_epochs, mode="min")
        )
    callbacks += [_checkpoint(folder, _BEST, monitor=VALIDATION_LOSS), _checkpoint(folder, _LAST)]
    if progress:
        callbacks.append(RichProgressBar())
    return callbacks


def _checkpoint(folder: Path, name: str, *, monitor: str | None = None) -> ModelCheckpoint:
    """One file, overwritten: by the newest epoch, or by the best one yet where one is monitored."""
    return ModelCheckpoint(
        folder,
        filename=Path(name).stem,
        monitor=monitor,
        mode="min",
        enable_version_counter=False,
    )

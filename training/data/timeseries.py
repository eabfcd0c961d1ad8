"""One long table of numbers, and at every row the rows that a forecast should have said."""

import io
import random
from dataclasses import dataclass, replace

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray
from torch import Tensor

from service.artifact.scaling import Scaling
from training.config import DataConfig
from training.data.batches import Batch, DataFacts, Shard, epoch_seed, share
from training.data.origin import Origin, read_text

ETTH1 = Origin(
    path="forecasting/etth1.csv.xz",
    url="https://raw.githubusercontent.com/zhouhaoyi/ETDataset/"
    "1d16c8f4f943005d613b5bc962e9eeb06058cf07/ETT-small/ETTh1.csv",
    sha256="f18de3ad269cef59bb07b5438d79bb3042d3be49bdeecf01c1cd6d29695ee066",
)
_ETTH1_SPLIT = (8640, 11520, 14400)
"""12, 4 and 4 months of 30 days; the rows after them are unused, as in the literature."""
_ETTH1_HORIZON = 24
_LOOKS_AT_EACH_ROW = 10
"""Windows drawn in an epoch, so that every training row is in about so many."""


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of numbers at equal distances in time."""

    features: tuple[str, ...]
    units: tuple[str, ...]
    step_seconds: float
    values: NDArray[np.float64]
    """`[rows, features]`"""
    times: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class SeriesData:
    """A table cut in time at `ends`: training rows, validation rows, test rows."""

    facts: DataFacts
    table: Table
    ends: tuple[int, int, int]
    horizon: int
    config: DataConfig
    seed: int

    @property
    def num_features(self) -> int:
        return len(self.table.features)

    @property
    def scaling(self) -> Scaling:
        """Of the training rows: no later row has a say in it."""
        return Scaling.fit(self.table.values[: self.ends[0]])

    def train(self, epoch: int, shard: Shard) -> list[Batch]:
        """Windows from anywhere in the training rows."""
        steps, size = self.config.chunk_steps, self.config.batch_size
        last = self.ends[0] - steps - self.horizon
        count = _LOOKS_AT_EACH_ROW * self.ends[0] // steps
        draw = random.Random(epoch_seed(self.seed, epoch))
        starts = [draw.randint(0, last) for _ in range(count)]
        batches = [starts[i : i + size] for i in range(0, count, size)]
        return [self._windows(batch) for batch in share(batches, shard)]

    def validation(self) -> list[Batch]:
        return [self.span(self.ends[0], self.ends[1])]

    def test(self) -> Batch:
        """Every forecast whose hours all lie in the test rows, as one row of steps."""
        return self.span(self.ends[1], self.ends[2])

    def span(self, start: int, end: int) -> Batch:
        """All forecasts of rows `start` to `end`, with a chunk of history before the first."""
        begin = max(0, start - self.config.chunk_steps)
        values = torch.as_tensor(self.table.values[begin:end], dtype=torch.float32)
        steps = len(values) - self.horizon
        return Batch(
            inputs=values[None, :steps],
            targets=_following(values, self.horizon)[None],
            first_counted=start - begin - 1,
        )

    def _windows(self, starts: list[int]) -> Batch:
        steps = self.config.chunk_steps
        values = torch.as_tensor(self.table.values, dtype=torch.float32)
        rows = torch.stack([values[s : s + steps + self.horizon] for s in starts])
        return Batch(
            inputs=rows[:, :steps],
            targets=torch.stack([_following(row, self.horizon) for row in rows]),
            first_counted=self.config.warm_up_steps,
        )


def etth1(config: DataConfig, seed: int) -> SeriesData:
    """Zhou et al. 2021: two years of an electricity transformer, hour by hour."""
    facts = DataFacts(
        title="ETTh1: load and oil temperature of an electricity transformer, hourly",
        source=ETTH1.url,
        licence="CC BY-ND 4.0",
        splits=(),
        note="The published split; scaled by the mean and deviation of train.",
    )
    table = parse_ett(read_text(ETTH1))
    return split_table(
        table, _ETTH1_SPLIT, horizon=_ETTH1_HORIZON, facts=facts, config=config, seed=seed
    )


def parse_ett(text: str) -> Table:
    """The origin's CSV: a column of dates, six loads, and the oil temperature `OT`."""
    frame = pl.read_csv(io.StringIO(text))
    features = tuple(frame.columns[1:])
    return Table(
        features=features,
        units=tuple("°C" if name == "OT" else "" for name in features),
        step_seconds=3600.0,
        values=frame.select(features).cast(pl.Float64).to_numpy(),
        times=tuple(frame[frame.columns[0]].cast(pl.String)),
    )


def split_table(
    table: Table,
    ends: tuple[int, int, int],
    *,
    horizon: int,
    facts: DataFacts,
    config: DataConfig,
    seed: int,
) -> SeriesData:
    """A table with its splits counted."""
    begins = (0, *ends[:2])
    names = ("train", "validation", "test")
    counted = tuple(
        (name, f"rows {begin:,} to {end - 1:,}")
        for name, begin, end in zip(names, begins, ends, strict=True)
    )
    return SeriesData(replace(facts, splits=counted), table, ends, horizon, config, seed)


def _following(values: Tensor, horizon: int) -> Tensor:
    """`[steps + horizon, features]` to `[steps, horizon, features]`: the rows after each step."""
    return values[1:].unfold(0, horizon, 1).transpose(1, 2)

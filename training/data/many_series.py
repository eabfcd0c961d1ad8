"""Many series of one number each: one network learns from all of them, and forecasts any."""

import csv
import gzip
import io
import json
import random
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from training.config import DataConfig
from training.data.batches import Batch, DataFacts, Shard, epoch_seed, in_order, share
from training.data.origin import Origin, read_text

_M4 = (
    "https://raw.githubusercontent.com/Mcompetitions/M4-methods/"
    "6c1067e5a57161249b17289a565178dc7a3fb3ca/Dataset/"
)
_M4_HORIZON, _M4_SEASON = 48, 24
_EXCHANGE = (
    "https://raw.githubusercontent.com/laiguokun/multivariate-time-series-data/"
    "7f402f185cc2435b5e66aed13a3b560ed142e023/exchange_rate/exchange_rate.txt.gz"
)
_COUNTRIES = (
    "Australia",
    "Britain",
    "Canada",
    "Switzerland",
    "China",
    "Japan",
    "New Zealand",
    "Singapore",
)
_EXCHANGE_AHEAD = (3, 6, 12, 24)
_EXCHANGE_SPLIT = (0.6, 0.8)


@dataclass(frozen=True, slots=True)
class Competition:
    """One forecast of each series, from the end of what was given out, judged over the horizon."""

    season: int
    """Steps after which a naive forecaster takes a series to come again."""


@dataclass(frozen=True, slots=True)
class Ahead:
    """At every step of the test rows, judged so many steps ahead, each by itself."""

    steps: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Series:
    """One series, cut in time at `ends`: training rows, validation rows, test rows."""

    name: str
    values: NDArray[np.float64]
    ends: tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class ManySeries:
    facts: DataFacts
    series: Sequence[Series]
    feature: str
    step_seconds: float
    horizon: int
    judged: Competition | Ahead
    config: DataConfig
    seed: int

    def train(self, epoch: int, shard: Shard) -> list[Batch]:
        """Stretches from anywhere in the training rows, each series as often as it is long."""
        steps, size = self.config.chunk_steps, self.config.batch_size
        draw = random.Random(epoch_seed(self.seed, epoch))
        rooms = [max(1, one.ends[0] - self.horizon - steps) for one in self.series]
        count = sum(one.ends[0] for one in self.series) // (steps - self.config.warm_up_steps)
        drawn = draw.choices(range(len(rooms)), rooms, k=count * self.config.looks)
        starts = [(at, draw.randrange(rooms[at])) for at in drawn]
        places = map(list, in_order(range(len(starts)), size))
        return [self._windows([starts[at] for at in batch]) for batch in share([*places], shard)]

    def validation(self) -> list[Batch]:
        """Of each series, the forecasts whose rows are all in its validation rows."""
        return [self.span(one, one.ends[0], one.ends[1]) for one in self.series]

    def span(self, one: Series, first: int, end: int) -> Batch:
        """A series' forecasts of rows `first` to `end`, with a chunk of history before them."""
        begin = max(0, first - self.config.chunk_steps)
        values = torch.as_tensor(one.values[begin:end], dtype=torch.float32)
        return self._batch([values], first_counted=first - begin - 1)

    def _windows(self, starts: Sequence[tuple[int, int]]) -> Batch:
        length = self.config.chunk_steps + self.horizon
        stretches = [
            torch.as_tensor(self.series[at].values[start : start + length], dtype=torch.float32)
            for at, start in starts
        ]
        return self._batch(stretches, first_counted=self.config.warm_up_steps)

    def _batch(self, stretches: Sequence[Tensor], *, first_counted: int) -> Batch:
        """`[batch, time, 1]`, and what follows each step, `[batch, time, horizon, 1]`."""
        rows = torch.stack(list(stretches))
        following = rows[:, 1:].unfold(1, self.horizon, 1)
        return Batch(
            rows[:, : -self.horizon].unsqueeze(-1),
            following.unsqueeze(-1),
            first_counted=first_counted,
        )


def m4_hourly(config: DataConfig, seed: int) -> ManySeries:
    """Makridakis et al. 2020: the hourly series of the fourth forecasting competition."""
    facts = DataFacts(
        title="M4 hourly: 414 series of the M4 competition, 700 or 960 hours each to learn from",
        source=_M4,
        licence="not stated",
        splits=(
            ("train", "all hours given out but each series' last 48"),
            ("validation", "the last 48 hours that were given out"),
            ("test", "the 48 hours after them, of 414 series"),
        ),
        note="The competition's own split: what was given out, and what came.",
    )
    given, came = (parse_series(read_text(origin)) for origin in (M4_TRAIN, M4_TEST))
    series = [
        _cut(name, np.concatenate([values, came[name]]), _M4_HORIZON)
        for name, values in given.items()
    ]
    return ManySeries(
        facts=facts,
        series=series,
        feature="value",
        step_seconds=3600.0,
        horizon=_M4_HORIZON,
        judged=Competition(_M4_SEASON),
        config=config,
        seed=seed,
    )


def exchange_rates(config: DataConfig, seed: int) -> ManySeries:
    """Lai et al. 2018 (LSTNet): eight currencies against the dollar, day by day."""
    names = _COUNTRIES
    table = np.loadtxt(io.StringIO(read_text(EXCHANGE)), delimiter=",")
    learned, validated = (int(share * len(table)) for share in _EXCHANGE_SPLIT)
    ends = (learned, validated, len(table))
    facts = DataFacts(
        title="Exchange rates of eight currencies against the dollar, 7,588 days from 1990 on",
        source=_EXCHANGE,
        licence="not stated",
        splits=tuple(
            (name, f"days {begin:,} to {end - 1:,} of eight currencies")
            for name, begin, end in zip(
                ("train", "validation", "test"), (0, *ends[:2]), ends, strict=True
            )
        ),
        note="The published split. One network for all currencies, which sees one at a time.",
    )
    return ManySeries(
        facts=facts,
        series=[Series(name, column, ends) for name, column in zip(names, table.T, strict=True)],
        feature="rate",
        step_seconds=86400.0,
        horizon=max(_EXCHANGE_AHEAD),
        judged=Ahead(_EXCHANGE_AHEAD),
        config=config,
        seed=seed,
    )


def parse_series(text: str) -> dict[str, NDArray[np.float64]]:
    """Lines of `{"id": NAME, "y": [numbers]}`."""
    rows = [json.loads(line) for line in text.splitlines()]
    return {row["id"]: np.array(row["y"], np.float64) for row in rows}


def convert_m4(table: bytes) -> bytes:
    """The competition's CSV, a row a series after a line of titles; short rows end in nothing."""
    lines: list[str] = []
    for row in list(csv.reader(io.StringIO(table.decode())))[1:]:
        numbers = ",".join(number for number in row[1:] if number)
        lines.append(f'{{"id":"{row[0]}","y":[{numbers}]}}\n')
    return "".join(lines).encode()


def _m4_part(part: str, sha256: str) -> Origin:
    url = f"{_M4}{part.capitalize()}/Hourly-{part}.csv"
    return Origin(
        path=f"forecasting/m4_hourly_{part}.jsonl.xz",
        url=url,
        sha256=sha256,
        convert=lambda fetch: convert_m4(fetch(url)),
    )


M4_TRAIN = _m4_part("train", "cf2f98fea4b9fdcc481b0e635f6bd874db2892a988d7c822062d9552998b25d2")
M4_TEST = _m4_part("test", "49894c4cf20bb371ea449f407cb3eb9755cedf75350b69875598915fc179ebea")
EXCHANGE = Origin(
    path="forecasting/exchange_rate.txt.xz",
    url=_EXCHANGE,
    sha256="0127465b51e3cd3c360f8eb2be30cfd294689a2a55903eb8245aafc396626c7f",
    convert=lambda fetch: gzip.decompress(fetch(_EXCHANGE)),
)


def _cut(name: str, values: NDArray[np.float64], horizon: int) -> Series:
    """The last horizon is test, the one before it validation."""
    count = len(values)
    return Series(name, values, (count - 2 * horizon, count - horizon, count))

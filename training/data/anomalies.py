"""Sensors of a machine that runs as it should, and faults made up to learn from.

What is odd is never shown: training has normal rows only, and each of its items is a stretch of
them, told twice, in the second telling of which some sensors leave their level.
"""

import io
import random
from collections.abc import Sequence
from dataclasses import dataclass, replace

import polars as pl
import torch
from torch import Tensor

from training.config import DataConfig
from training.data.batches import Batch, DataFacts, Shard, epoch_seed, share
from training.data.origin import Fetch, Origin, read_text
from training.data.signals import Items, Signals, scaling_of

_SKAB = (
    "https://raw.githubusercontent.com/waico/SKAB/b2c0d46c2971dcbfe71e26087b6d231998bb91c2/data/"
)
_EXPERIMENTS = (
    *(f"other/{number}" for number in range(1, 15)),
    *(f"valve1/{number}" for number in range(16)),
    *(f"valve2/{number}" for number in range(4)),
    "anomaly-free/anomaly-free",
)
_NORMAL_ROWS = 400
"""SKAB's protocol: the first rows of every experiment train, the others test."""
_SENSORS = (
    "accelerometer_1",
    "accelerometer_2",
    "current",
    "pressure",
    "temperature",
    "thermocouple",
    "voltage",
    "volume_flow_rate",
)
_UNITS = ("g", "g", "A", "bar", "°C", "°C", "V", "l/min")
_SKIPPED_COLUMNS = ("file", "datetime", "anomaly", "changepoint")

_NO_FAULT = 0.25
"""The share of items in which nothing happens."""
_LARGEST_DRIFT = 0.5
_SMALLEST_SHIFT, _LARGEST_SHIFT = 1.0, 5.0
"""In deviations of the stretch."""
_LONGEST_ONSET = 60
"""Rows in which a fault comes up."""
ODD_ABOVE = 0.0
"""A score is log odds: above zero it is likelier than not that a step is an anomaly."""


@dataclass(frozen=True, slots=True)
class Experiment:
    """One recording, and which of its rows are anomalies."""

    name: str
    rows: Tensor
    """`[time, sensors]`"""
    odd: Tensor
    """`[time]`, 0 or 1."""


@dataclass(frozen=True, slots=True)
class Recorded:
    """What all experiments have in common."""

    sensors: tuple[str, ...]
    units: tuple[str, ...]
    num_normal: int
    """First rows of an experiment that are known to be normal."""


@dataclass(frozen=True, slots=True)
class AnomalyData:
    """Normal stretches to learn from, and whole experiments to test on."""

    facts: DataFacts
    signals: Signals
    learned: Items
    held_out: Items
    tested: Sequence[Experiment]
    num_normal: int
    """First rows of a tested experiment that are known to be normal, and are not judged."""
    config: DataConfig
    seed: int

    @property
    def paces(self) -> tuple[float, ...]:
        """Of differences from row to row, which nothing reads here."""
        return (1.0,) * len(self.signals.features)

    def train(self, epoch: int, shard: Shard) -> list[Batch]:
        seed = epoch_seed(self.seed, epoch)
        return self._batches(self.learned, seed, shard, looks=self.config.looks)

    def validation(self) -> list[Batch]:
        """The same made-up faults each time, on stretches that were held out."""
        return self._batches(self.held_out, self.seed, Shard(), looks=4)

    def _batches(self, items: Items, seed: int, shard: Shard, *, looks: int) -> list[Batch]:
        places = list(range(len(items))) * looks
        random.Random(seed).shuffle(places)
        size = self.config.batch_size
        batches = share([places[at : at + size] for at in range(0, len(places), size)], shard)
        draw = torch.Generator().manual_seed(seed % 2**62)
        return [_faulty_batch([items.rows[at] for at in batch], draw) for batch in batches]


def skab(config: DataConfig, seed: int) -> AnomalyData:
    """Katser and Kozitsin 2020: a water-circulation testbed, valves closed and other mischief."""
    facts = DataFacts(
        title="SKAB: eight sensors of a water-circulation testbed, one row a second",
        source=_SKAB,
        licence="GPL-3.0",
        splits=(),
        note="The published protocol: the first 400 rows of each of 34 experiments, all normal, "
        "to learn from, the rest to test; and one recording without anomalies, to learn from. "
        "Whole experiments' normal rows are held out for validation.",
    )
    experiments = parse_skab(read_text(SKAB))
    recorded = Recorded(_SENSORS, _UNITS, _NORMAL_ROWS)
    return experiments_to_learn(experiments, recorded, facts=facts, config=config, seed=seed)


def convert_skab(fetch: Fetch) -> bytes:
    """The experiments' files one after the other, each row with its experiment's name before it."""
    lines: list[str] = []
    for name in _EXPERIMENTS:
        header, *rows = fetch(f"{_SKAB}{name}.csv").decode().splitlines()
        # The recording without anomalies has no marks.
        unmarked = header.count(";") < len(SKAB_HEADER.split(";")) - 2
        lines += [f"{name};{row}{';;' if unmarked else ''}" for row in rows]
    return "\n".join([SKAB_HEADER, *lines, ""]).encode()


SKAB_HEADER = (
    "file;datetime;Accelerometer1RMS;Accelerometer2RMS;Current;Pressure;Temperature;Thermocouple;"
    "Voltage;Volume Flow RateRMS;anomaly;changepoint"
)
SKAB = Origin(
    path="anomaly/skab.csv.xz",
    url=_SKAB,
    sha256="1e6c9318c3c587f18ed0008402703481edd5eff67c5362ce33050b681b28461b",
    convert=convert_skab,
)


def parse_skab(text: str) -> list[Experiment]:
    frame = pl.read_csv(io.StringIO(text), separator=";", infer_schema_length=None)
    sensors = [name for name in frame.columns if name not in _SKIPPED_COLUMNS]
    return [
        Experiment(
            str(name),
            torch.tensor(part.select(sensors).cast(pl.Float32).to_numpy()),
            torch.tensor(part["anomaly"].fill_null(0).cast(pl.Float32).to_numpy()),
        )
        for (name,), part in frame.group_by(["file"], maintain_order=True)
    ]


def experiments_to_learn(
    experiments: Sequence[Experiment],
    recorded: Recorded,
    *,
    facts: DataFacts,
    config: DataConfig,
    seed: int,
) -> AnomalyData:
    """An experiment without an anomaly is learned from whole, in stretches; others are tested."""
    count = recorded.num_normal
    tested = [one for one in experiments if bool(one.odd.any())]
    normal = [one.rows[:count] for one in tested]
    for one in experiments:
        if not bool(one.odd.any()):
            normal += [part for part in one.rows.split(count) if len(part) == count]
    order = random.Random(seed).sample(range(len(normal)), len(normal))
    held = round(len(normal) * config.validation_fraction)
    learned, held_out = (_stretches(normal, order[held:]), _stretches(normal, order[:held]))
    splits = (
        ("train", f"{len(learned)} stretches of {count} normal rows"),
        ("validation", f"{len(held_out)} stretches"),
        ("test", f"{len(tested)} experiments, {sum(len(one.rows) for one in tested):,} rows"),
    )
    return AnomalyData(
        facts=replace(facts, splits=splits),
        signals=Signals(recorded.sensors, recorded.units, scaling_of(learned)),
        learned=learned,
        held_out=held_out,
        tested=tested,
        num_normal=count,
        config=config,
        seed=seed,
    )


def told_twice(rows: Tensor, draw: torch.Generator) -> tuple[Tensor, Tensor]:
    """A stretch, and the stretch again with a made-up fault or none; which of all rows are odd."""
    time, sensors = rows.shape
    spread = rows.std(dim=0).clamp(min=1e-6)
    place = torch.linspace(0, 1, time).unsqueeze(1)
    drift = _LARGEST_DRIFT * (2 * torch.rand(sensors, generator=draw) - 1) * place
    again = rows + drift * spread
    odd = torch.zeros(time)
    if float(torch.rand((), generator=draw)) > _NO_FAULT:
        begin = int(torch.randint(0, time * 3 // 4, (), generator=draw))
        end = int(torch.randint(begin + time // 4, begin + time, (), generator=draw))
        again = again + _shift(sensors, draw) * spread * _rise(time, begin, end, draw)
        odd[begin:end] = 1
    return torch.cat([rows, again]), torch.cat([torch.zeros(time), odd])


def _shift(sensors: int, draw: torch.Generator) -> Tensor:
    """How far each sensor goes; some do not."""
    size = _SMALLEST_SHIFT + (_LARGEST_SHIFT - _SMALLEST_SHIFT) * torch.rand((), generator=draw)
    moved = (torch.rand(sensors, generator=draw) < 0.5).float()
    moved[int(torch.randint(0, sensors, (), generator=draw))] = 1.0
    share = 2 * torch.rand(sensors, generator=draw) - 1
    return size * moved * (share.sign() * (0.5 + 0.5 * share.abs()))


def _rise(time: int, begin: int, end: int, draw: torch.Generator) -> Tensor:
    """From 0 up to 1 after `begin`, and gone after `end`, `[time, 1]`."""
    onset = float(torch.randint(1, _LONGEST_ONSET, (), generator=draw))
    steps = torch.arange(time).unsqueeze(1)
    return ((steps - begin) / onset).clamp(0, 1) * (steps < end)


def _faulty_batch(rows: Sequence[Tensor], draw: torch.Generator) -> Batch:
    """The first telling is history: what the network is to take for normal."""
    told = [told_twice(stretch, draw) for stretch in rows]
    steps, odd = (torch.stack(list(part)) for part in zip(*told, strict=True))
    return Batch(steps, odd, first_counted=len(rows[0]))


def _stretches(normal: Sequence[Tensor], places: Sequence[int]) -> Items:
    return Items([normal[at] for at in places], [], list(places))

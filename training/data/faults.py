"""Machines that wear out: a turbofan's remaining life, a bearing's fault."""

import io
from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.io import loadmat

from service.artifact.scaling import Scaling
from training.config import DataConfig
from training.data.arrays import ArrayOrigin, Named, read_arrays
from training.data.batches import DataFacts
from training.data.origin import Fetch, Origin, read_text
from training.data.signals import (
    Items,
    LabelledSignals,
    MeasuredSignals,
    Signals,
    Split,
    counted,
    scaling_of,
    split_items,
)

_CMAPSS = (
    "https://raw.githubusercontent.com/ericlrf/rul/ffca02f70f3ce41042f1a8ec1d82ea7ad13cf2a1/"
    "CMAPSSData/"
)
CMAPSS_TRAIN = Origin(
    path="fault/cmapss_fd001_train.txt.xz",
    url=f"{_CMAPSS}train_FD001.txt",
    sha256="963b5e22825b34d8b21c69e1aeb4af3e647050eb672ee8834ba4b5d91d2de0f8",
)
CMAPSS_TEST = Origin(
    path="fault/cmapss_fd001_test.txt.xz",
    url=f"{_CMAPSS}test_FD001.txt",
    sha256="3cda7109ce17bafb5443f2ac926cfcf88154b941b8c4cf95eb55d1ddd6f52851",
)
CMAPSS_LIVES = Origin(
    path="fault/cmapss_fd001_rul.txt.xz",
    url=f"{_CMAPSS}RUL_FD001.txt",
    sha256="a19c8ec94931949d0485bdc35118206e9c81c4547b422efb9cf86f4ceddbceca",
)
_LIFE_CAP = 125.0
"""A new engine shows nothing of its end: the literature lets lives begin at 125 or 130 cycles."""

_CWRU_FILES = {
    "Normal_load0": 97,
    "IR007_load0": 105,
    "IR014_load0": 169,
    "IR021_load0": 209,
    "B007_load0": 118,
    "B014_load0": 185,
    "B021_load0": 222,
    "OR007_load0": 130,
    "OR014_load0": 197,
    "OR021_load0": 234,
}
"""The centre's number of each recording, at 0 hp; outer races at 6 o'clock."""
_CWRU_SCALES = (
    0.00020861538461538462,
    0.00016243512974051897,
    0.00016243512974051897,
    0.0004060878243512974,
    0.00016243512974051897,
    0.00016243512974051897,
    0.00016243512974051897,
    0.0004060878243512974,
    4.059880239520958e-05,
    0.0004060878243512974,
)
"""The step of each recording's digits, in g: the recordings differ in gain."""
_CWRU_SAMPLES = 121_000
_CWRU_FRAME, _CWRU_FRAMES = 64, 16
_CWRU_LABELS = {"Normal": "normal", "IR": "inner race", "B": "ball", "OR": "outer race"}
_CWRU_TRAIN_FRACTION = 0.7


def convert_cwru(fetch: Fetch) -> Named:
    """The bearing centre's MATLAB files: drive-end samples in g, back to the recorder's counts."""
    arrays: dict[str, NDArray[np.generic]] = {}
    for (key, number), scale in zip(_CWRU_FILES.items(), _CWRU_SCALES, strict=True):
        held = loadmat(io.BytesIO(fetch(f"{_CWRU_URL}{number}.mat")))
        samples = held[f"X{number:03d}_DE_time"][:_CWRU_SAMPLES, 0]
        arrays[key] = np.round(samples / scale).astype(np.int16)
    arrays["keys"] = np.array(list(_CWRU_FILES))
    arrays["scale"] = np.array(_CWRU_SCALES)
    return arrays


_CWRU_URL = "https://engineering.case.edu/sites/default/files/"
CWRU = ArrayOrigin(
    path="fault/cwru_12k_de.npz",
    url=_CWRU_URL,
    sha256="17dd7e56ebeb7e5f03409bfe04eff559aec19d128ce507504eb2edbf90ed74a6",
    convert=convert_cwru,
)


def cmapss(config: DataConfig, seed: int) -> MeasuredSignals:
    """Saxena et al. 2008: turbofans run until they fail, FD001; the test runs stop before that."""
    facts = DataFacts(
        title="C-MAPSS FD001: simulated turbofan engines, one row a cycle",
        source=_CMAPSS,
        licence="not stated (made by NASA)",
        splits=(),
        note="The published split; whole engines of train are held out for validation. Training "
        "tells at most 125 cycles, test lives are as published, up to 145.",
    )
    lives = [float(line) for line in read_text(CMAPSS_LIVES).split()]
    learn = parse_cmapss(read_text(CMAPSS_TRAIN), None)
    test = parse_cmapss(read_text(CMAPSS_TEST), lives)
    return engines(learn, test, facts=facts, config=config, seed=seed)


def engines(
    learn: Items, test: Items, *, facts: DataFacts, config: DataConfig, seed: int
) -> MeasuredSignals:
    """Training is told lives up to the cap only; the test's are as they are."""
    learn = Items(learn.rows, [lives.clamp(max=_LIFE_CAP) for lives in learn.targets], learn.groups)
    split = split_items(learn, test, fraction=config.validation_fraction, seed=seed)
    count = split.learned.rows[0].shape[1]
    settings = [f"setting_{i}" for i in range(1, 4)]
    sensors = [f"sensor_{i}" for i in range(1, count - 2)]
    return MeasuredSignals(
        facts=counted(facts, split, "engines"),
        signals=Signals((*settings, *sensors), (), scaling_of(split.learned)),
        split=split,
        config=config,
        seed=seed,
        augment=None,
        name="remaining_life",
        unit="cycles",
        outputs=Scaling(mean=(_LIFE_CAP / 2,), deviation=(_LIFE_CAP / 2,)),
        cap=_LIFE_CAP,
    )


def parse_cmapss(text: str, lives: list[float] | None) -> Items:
    """Rows of unit, cycle, settings and sensors; `lives` are those after each unit's last row.

    Without `lives` each unit's last row is its last cycle.
    """
    table = np.loadtxt(io.StringIO(text))
    units = np.unique(table[:, 0])
    lives = [0.0] * len(units) if lives is None else lives
    rows, targets = list[torch.Tensor](), list[torch.Tensor]()
    for unit, life in zip(units, lives, strict=True):
        steps = table[table[:, 0] == unit]
        after = np.arange(len(steps))[::-1] + life
        rows.append(torch.tensor(steps[:, 2:], dtype=torch.float32))
        targets.append(torch.tensor(after, dtype=torch.float32))
    return Items(rows, targets, [int(unit) for unit in units])


def cwru(config: DataConfig, seed: int) -> LabelledSignals:
    """The Case Western bearing centre's recordings at 12 kHz without load, cut in time."""
    facts = DataFacts(
        title="CWRU: a motor's bearing, drive-end acceleration at 12 kHz, 0 hp",
        source=_CWRU_URL,
        licence="not stated",
        splits=(),
        note="No published split: each recording's first 70 % are train and validation, the rest "
        "test, cut in time into windows of 1,024 samples that do not overlap in test.",
    )
    return bearings(read_arrays(CWRU), facts=facts, config=config, seed=seed)


def bearings(arrays: Named, *, facts: DataFacts, config: DataConfig, seed: int) -> LabelledSignals:
    """Windows of frames. What is held out is the end of the training part of every recording."""
    keys, scales = [str(key) for key in arrays["keys"]], arrays["scale"]
    parts: Mapping[str, list[Items]] = {"learned": [], "held_out": [], "tested": []}
    for label, (key, scale) in enumerate(zip(keys, scales, strict=True)):
        samples = torch.tensor(arrays[key] * scale, dtype=torch.float32)
        end = int(len(samples) * _CWRU_TRAIN_FRACTION)
        begin = int(end * (1 - config.validation_fraction))
        step = _CWRU_FRAME * _CWRU_FRAMES
        parts["learned"].append(_windows(samples[:begin], label, step=step // 4))
        parts["held_out"].append(_windows(samples[begin:end], label, step=step))
        parts["tested"].append(_windows(samples[end:], label, step=step))
    split = Split(**{name: _joined(items) for name, items in parts.items()})
    samples = tuple(f"sample_{i}" for i in range(_CWRU_FRAME))
    return LabelledSignals(
        facts=counted(facts, split, "windows"),
        # A frame's own level is taken out by its spectrum: one scale for all samples.
        signals=Signals(
            samples,
            ("g",) * _CWRU_FRAME,
            Scaling(mean=(0.0,) * _CWRU_FRAME, deviation=(1.0,) * _CWRU_FRAME),
        ),
        split=split,
        config=config,
        seed=seed,
        augment=None,
        labels=tuple(bearing_label(key) for key in keys),
    )


def bearing_label(key: str) -> str:
    """`IR014_load0` is an inner race's fault of 14 thousandths of an inch."""
    name = key.partition("_")[0]
    part = name.rstrip("0123456789")
    size = name[len(part) :].lstrip("0")
    return f"{_CWRU_LABELS[part]} {size} mil" if size else _CWRU_LABELS[part]


def _windows(samples: torch.Tensor, label: int, *, step: int) -> Items:
    size = _CWRU_FRAME * _CWRU_FRAMES
    rows = [window.view(_CWRU_FRAMES, -1) for window in samples.unfold(0, size, step)]
    return Items(rows, [torch.tensor(label)] * len(rows), [label] * len(rows))


def _joined(parts: list[Items]) -> Items:
    return Items(
        [rows for part in parts for rows in part.rows],
        [target for part in parts for target in part.targets],
        [group for part in parts for group in part.groups],
    )

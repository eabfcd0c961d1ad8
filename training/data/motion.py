"""People who move, as the joints that a camera saw: actions and signals."""

import io
import math
import re

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from service.artifact.scaling import Scaling
from training.config import DataConfig
from training.data.arrays import ArrayOrigin, Named, read_arrays
from training.data.batches import DataFacts
from training.data.origin import Fetch
from training.data.signals import (
    Items,
    LabelledSignals,
    Signals,
    counted,
    scaling_of,
    split_items,
)

_UTKINECT = (
    "https://raw.githubusercontent.com/JeslieHCI/UTKinect_3/"
    "590aede4d94d2f2f90b633bb4cefb5a50bb2996d/data/UTKinect/joints/"
)
_NATOPS = "https://www.timeseriesclassification.com/aeon-toolkit/NATOPS/"
_ACTIONS = (
    "walk",
    "sitDown",
    "standUp",
    "pickUp",
    "carry",
    "throw",
    "push",
    "pull",
    "waveHands",
    "clapHands",
)
_SLIPS = {("s03_e01", "push"): (3556, 3622)}
"""The mark says 2556, in the middle of other actions."""
_PERSONS, _TAKES = 10, 2
_PER_METRE = 10_000
_SKELETON = (
    "hip_center spine shoulder_center head left_shoulder left_elbow left_wrist left_hand "
    "right_shoulder right_elbow right_wrist right_hand left_hip left_knee left_ankle left_foot "
    "right_hip right_knee right_ankle right_foot"
)
_JOINTS = _SKELETON.split()
_BODY_METRES = 0.3
"""One scale for all joints: what is far from the hips must look far."""

_SIGNALS = (
    "I have command",
    "all clear",
    "not clear",
    "spread wings",
    "fold wings",
    "lock wings",
)
_SEEN = "left_tip right_tip left_elbow right_elbow left_wrist right_wrist left_thumb right_thumb"
_MARKERS = _SEEN.split()

_LARGEST_TURN, _LARGEST_STRETCH, _LARGEST_HASTE = math.radians(30), 0.12, 0.3


def convert_utkinect(fetch: Fetch) -> Named:
    """The marked clips of every recording, in the order of the marks."""
    marks = parse_marks(fetch(f"{_UTKINECT}actionLabel.txt").decode())
    joints, frames, sizes = list[NDArray[np.int32]](), list[NDArray[np.int32]](), [0]
    who = {"label": list[int](), "subject": list[int](), "repetition": list[int]()}
    for person in range(1, _PERSONS + 1):
        for take in range(1, _TAKES + 1):
            recording = f"s{person:02d}_e{take:02d}"
            seen = parse_joints(fetch(f"{_UTKINECT}joints_{recording}.txt").decode())
            for label, action in enumerate(_ACTIONS):
                if (recording, action) not in marks:
                    continue
                first, last = _SLIPS.get((recording, action), marks[recording, action])
                clip = seen[(seen[:, 0] >= first) & (seen[:, 0] <= last)]
                frames.append(clip[:, 0].astype(np.int32))
                joints.append(np.round(clip[:, 1:] * _PER_METRE).astype(np.int32))
                sizes.append(len(clip))
                for name, value in zip(who, (label, person, take), strict=True):
                    who[name].append(value)
    return {
        "joints_x1e4": np.concatenate(joints).reshape(-1, len(_JOINTS), 3),
        "offsets": np.cumsum(sizes, dtype=np.int32),
        "frame": np.concatenate(frames),
        "label_names": np.array(_ACTIONS),
        **{name: np.array(values, np.int8) for name, values in who.items()},
    }


def parse_marks(text: str) -> dict[tuple[str, str], tuple[int, int]]:
    """Lines of `action: first last` below each recording's name; a missing clip is NaN."""
    marks: dict[tuple[str, str], tuple[int, int]] = {}
    recording = ""
    for line in text.splitlines():
        if found := re.match(r"(\w+):\s*(\d+) (\d+)", line):
            marks[recording, found[1]] = int(found[2]), int(found[3])
        elif ":" not in line and line.strip():
            recording = line.strip()
    return marks


def parse_joints(text: str) -> NDArray[np.float64]:
    """Lines of a frame's number and x, y, z of its joints; a frame told twice counts once."""
    table = np.loadtxt(io.StringIO(text), ndmin=2)
    _, places = np.unique(table[:, 0], return_index=True)
    return table[places]


def convert_natops(fetch: Fetch) -> Named:
    arrays: dict[str, NDArray[np.generic]] = {}
    for split in ("train", "test"):
        text = fetch(f"{_NATOPS}NATOPS_{split.upper()}.ts").decode()
        arrays[f"{split}_x"], arrays[f"{split}_y"] = parse_ts(text)
    return arrays


def parse_ts(text: str) -> tuple[NDArray[np.float32], NDArray[np.int8]]:
    """The UEA archive's form: dimensions apart by colons, then the class, which counts from 1."""
    rows, labels = list[list[list[float]]](), list[int]()
    for line in text.partition("@data")[2].split():
        *dimensions, label = line.split(":")
        rows.append([[float(value) for value in values.split(",")] for values in dimensions])
        labels.append(int(float(label)) - 1)
    return np.array(rows, np.float32).transpose(0, 2, 1), np.array(labels, np.int8)


UTKINECT = ArrayOrigin(
    path="video/utkinect_skeletons.npz",
    url=_UTKINECT,
    sha256="dfcb4a3af5c8a01a7458b42199f40104f53bb640ea4bd280037ff23bf4ed71a5",
    convert=convert_utkinect,
)
NATOPS = ArrayOrigin(
    path="video/natops.npz",
    url=_NATOPS,
    sha256="35785a0f9a5531950861a67c0d69b98216795172dced8fbcb22199d175066801",
    convert=convert_natops,
)


def utkinect(config: DataConfig, seed: int) -> LabelledSignals:
    """Xia, Chen and Aggarwal 2012: ten actions of ten persons, as a Kinect saw their joints."""
    facts = DataFacts(
        title="UTKinect-Action: skeletons of 20 joints, ten actions of ten persons, twice each",
        source=_UTKINECT,
        licence="not stated",
        splits=(),
        note="Odd persons to learn, even ones to test.",
    )
    learn, test = clips(read_arrays(UTKINECT))
    split = split_items(learn, test, fraction=config.validation_fraction, seed=seed)
    features = tuple(f"{joint}_{axis}" for joint in _JOINTS for axis in "xyz")
    count = len(features)
    return LabelledSignals(
        facts=counted(facts, split, "clips"),
        signals=Signals(
            features,
            ("m",) * count,
            Scaling(mean=(0.0, 0.0, 2.0) * len(_JOINTS), deviation=(_BODY_METRES,) * count),
        ),
        split=split,
        config=config,
        seed=seed,
        augment=walked_round,
        labels=_ACTIONS,
    )


def clips(arrays: Named) -> tuple[Items, Items]:
    """Those of odd persons, and those of even ones; the group is the person."""
    metres = torch.tensor(arrays["joints_x1e4"], dtype=torch.float32) / _PER_METRE
    sizes = np.diff(arrays["offsets"]).tolist()
    persons: list[int] = arrays["subject"].tolist()
    items = Items(
        metres.flatten(1).split(sizes), list(torch.tensor(arrays["label"]).long()), persons
    )
    odd = [at for at, person in enumerate(persons) if person % 2]
    even = [at for at, person in enumerate(persons) if not person % 2]
    return items.pick(odd), items.pick(even)


def natops(config: DataConfig, seed: int) -> LabelledSignals:
    """Song, Demirdjian and Davis 2011: six signals to aircraft, as hands and elbows."""
    facts = DataFacts(
        title="NATOPS: six aircraft-handling signals, hands, elbows, wrists and thumbs",
        source=_NATOPS,
        licence="not stated (UEA archive)",
        splits=(),
        note="The published split of the UEA archive.",
    )
    arrays = read_arrays(NATOPS)
    learn, test = gestures(arrays, "train"), gestures(arrays, "test")
    split = split_items(learn, test, fraction=config.validation_fraction, seed=seed)
    return LabelledSignals(
        facts=counted(facts, split, "gestures"),
        signals=Signals(
            tuple(f"{marker}_{axis}" for marker in _MARKERS for axis in "xyz"),
            (),
            scaling_of(split.learned),
        ),
        split=split,
        config=config,
        seed=seed,
        augment=hurried,
        labels=_SIGNALS,
    )


def gestures(arrays: Named, split: str) -> Items:
    """Persons are not told: each gesture is its own group."""
    rows = torch.tensor(arrays[f"{split}_x"])
    return Items(list(rows), list(torch.tensor(arrays[f"{split}_y"]).long()), range(len(rows)))


def walked_round(steps: Tensor, draw: torch.Generator) -> Tensor:
    """The same action by someone of another size, seen from another side, faster or slower."""
    turn, size = (2 * torch.rand(2, generator=draw) - 1).tolist()
    angle = turn * _LARGEST_TURN
    sine, cosine = math.sin(angle), math.cos(angle)
    about_upright = torch.tensor([[cosine, 0.0, sine], [0.0, 1.0, 0.0], [-sine, 0.0, cosine]])
    joints = steps.unflatten(1, (-1, 3))
    root = joints[:1, :1]
    moved = (joints - root) @ about_upright.T * (1 + size * _LARGEST_STRETCH) + root
    return _at_another_pace(moved.flatten(1), draw)


def hurried(steps: Tensor, draw: torch.Generator) -> Tensor:
    """The same signal by someone of another size, faster or slower."""
    sizes = 1 + _LARGEST_STRETCH * (2 * torch.rand(steps.shape[1], generator=draw) - 1)
    return _at_another_pace(steps * sizes, draw)


def _at_another_pace(steps: Tensor, draw: torch.Generator) -> Tensor:
    """Fewer or more steps of the same way, in a straight line between those that were."""
    haste, begin, end = torch.rand(3, generator=draw).tolist()
    count = max(4, round(len(steps) * (1 + _LARGEST_HASTE * (2 * haste - 1))))
    first, last = begin * 0.1 * (len(steps) - 1), (1 - end * 0.1) * (len(steps) - 1)
    places = torch.linspace(first, last, count)
    before = places.floor().long().clamp(max=max(0, len(steps) - 2))
    after = (before + 1).clamp(max=len(steps) - 1)
    share = (places - before).unsqueeze(1)
    return steps[before] * (1 - share) + steps[after] * share

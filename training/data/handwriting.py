"""Digits as a pen drew them, point by point, and as pictures, row by row."""

import gzip
import math

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

_PENDIGITS = (
    "https://raw.githubusercontent.com/choucavalier/pendigits-hmm/"
    "03382e1457941714439d40b67e53eaf117fe4d08/data/"
)
_MNIST = "https://ossci-datasets.s3.amazonaws.com/mnist/"
STROKES = ("x", "y", "pen_down")
_DIGITS = tuple(str(digit) for digit in range(10))
_IDX_HEADER = {1: 8, 3: 16}
"""Bytes before the numbers, by the count of axes."""
_PICTURES_PER_GROUP = 100
_LARGEST_TURN, _LARGEST_STRETCH, _LARGEST_SHEAR = math.radians(15), 0.35, 0.35
_FEWEST_POINTS = 0.35
"""The share of its points that the fastest digit keeps."""
_LARGEST_SHIFT = 2
"""Pixels."""


def convert_pendigits(fetch: Fetch) -> Named:
    """Both files of the UNIPEN original, as points with their segments' labels and comments."""
    arrays: dict[str, NDArray[np.generic]] = {}
    for split in ("train", "test"):
        parsed = parse_unipen(fetch(f"{_PENDIGITS}pendigits-{split}").decode("latin-1"))
        arrays |= {f"{split}_{name}": array for name, array in parsed.items()}
    return arrays


def parse_unipen(text: str) -> Named:
    """Segments of `.SEGMENT DIGIT ... "8"`, a `.COMMENT` of three numbers, and pen strokes.

    Points are x, y and whether the point is the first of its stroke.
    """
    points, offsets = list[tuple[int, int, int]](), [0]
    labels, comments = list[int](), list[list[int]]()
    starts = 0
    for line in text.splitlines():
        name, *rest = line.split() or [""]
        if name == ".SEGMENT":
            if labels:
                offsets.append(len(points))
            labels.append(int(rest[-1].strip('"')))
        elif name == ".COMMENT" and labels and len(rest) == 3:
            comments.append([int(number) for number in rest])
        elif name == ".PEN_DOWN":
            starts = 1
        elif labels and name.lstrip("-").isdigit():
            points.append((int(name), int(rest[0]), starts))
            starts = 0
    offsets.append(len(points))
    return {
        "points": np.array(points, np.int16),
        "offsets": np.array(offsets, np.int32),
        "label": np.array(labels, np.int8),
        "comment": np.array(comments, np.int16),
    }


def convert_mnist(fetch: Fetch) -> Named:
    """The four gzipped IDX files."""
    arrays: dict[str, NDArray[np.generic]] = {}
    for split, stem in (("train", "train"), ("test", "t10k")):
        arrays[f"{split}_x"] = parse_idx(fetch(f"{_MNIST}{stem}-images-idx3-ubyte.gz"))
        arrays[f"{split}_y"] = parse_idx(fetch(f"{_MNIST}{stem}-labels-idx1-ubyte.gz"))
    return arrays


def parse_idx(compressed: bytes) -> NDArray[np.uint8]:
    """An IDX file of unsigned bytes: two zeros, the type, the number of axes, each axis' size."""
    data = gzip.decompress(compressed)
    shape = np.frombuffer(data, ">u4", data[3], offset=4)
    return np.frombuffer(data, np.uint8, offset=_IDX_HEADER[data[3]]).reshape(shape)


PENDIGITS = ArrayOrigin(
    path="handwriting/pendigits_strokes.npz",
    url=_PENDIGITS,
    sha256="db97145462de1488296ab93c23aa9e9898988e1c88c29dc70fd3460eb4c9fef4",
    convert=convert_pendigits,
)
MNIST = ArrayOrigin(
    path="handwriting/mnist.npz",
    url=_MNIST,
    sha256="7fee734672dea6608aa7747335ba52c59dd5c68222678cd3ddeeeb776a49ea0d",
    convert=convert_mnist,
)


def pendigits(config: DataConfig, seed: int) -> LabelledSignals:
    """Alpaydin and Alimoglu 1996: digits of 44 writers on a tablet, every point that it saw."""
    facts = DataFacts(
        title="Pen digits: the UNIPEN strokes of the UCI set, 30 writers to learn, 14 to test",
        source=_PENDIGITS,
        licence="repository MIT; the data: not stated",
        splits=(),
        note="The published split: test is of other writers. Whole writers of train are held out "
        "for validation.",
    )
    arrays = read_arrays(PENDIGITS)
    learn, test = strokes(arrays, "train"), strokes(arrays, "test")
    split = split_items(learn, test, fraction=config.validation_fraction, seed=seed)
    fitted = scaling_of(split.learned)
    scaling = Scaling(mean=(*fitted.mean[:2], 0.0), deviation=(*fitted.deviation[:2], 1.0))
    return LabelledSignals(
        facts=counted(facts, split, "digits"),
        signals=Signals(STROKES, ("", "", ""), scaling),
        split=split,
        config=config,
        seed=seed,
        augment=slanted,
        labels=_DIGITS,
    )


def strokes(arrays: Named, split: str) -> Items:
    """Points of each digit; its group is its writer."""
    points = torch.tensor(arrays[f"{split}_points"], dtype=torch.float32)
    sizes = np.diff(arrays[f"{split}_offsets"]).tolist()
    return Items(
        points.split(sizes),
        list(torch.tensor(arrays[f"{split}_label"]).long()),
        arrays[f"{split}_comment"][:, 1].tolist(),
    )


def slanted(points: Tensor, draw: torch.Generator) -> Tensor:
    """The same digit by a hand that leans, stretches and moves faster.

    A faster pen is seen at fewer points; each stroke keeps its first one, and the digit its last.
    """
    turn, wide, high, shear = (2 * torch.rand(4, generator=draw) - 1).tolist()
    angle = turn * _LARGEST_TURN
    sine, cosine = math.sin(angle), math.cos(angle)
    rotation = torch.tensor([[cosine, -sine], [sine, cosine]])
    stretch = torch.tensor(
        [[1 + wide * _LARGEST_STRETCH, shear * _LARGEST_SHEAR], [0.0, 1 + high * _LARGEST_STRETCH]]
    )
    places = points[:, :2]
    centre = places.mean(dim=0)
    moved = (places - centre) @ (rotation @ stretch).T + centre
    share = float(torch.rand((), generator=draw)) * (1 - _FEWEST_POINTS) + _FEWEST_POINTS
    kept = torch.rand(len(points), generator=draw) < share
    kept |= points[:, 2] > 0
    kept[-1] = True
    return torch.cat([moved, points[:, 2:]], dim=1)[kept]


def mnist_rows(config: DataConfig, seed: int) -> LabelledSignals:
    """LeCun et al. 1998: pictures of digits, read from the top row to the bottom one."""
    facts = DataFacts(
        title="MNIST, row by row: 28 steps of 28 pixels",
        source=_MNIST,
        licence="repository MIT; the data: not stated",
        splits=(),
        note="The published split; seeded runs of 100 training pictures are held out for "
        "validation.",
    )
    arrays = read_arrays(MNIST)
    learn, test = pictures(arrays, "train"), pictures(arrays, "test")
    split = split_items(learn, test, fraction=config.validation_fraction, seed=seed)
    width = split.learned.rows[0].shape[1]
    every = Scaling.fit(np.stack([rows.numpy() for rows in split.learned.rows]).reshape(-1, 1))
    return LabelledSignals(
        facts=counted(facts, split, "pictures"),
        signals=Signals(
            tuple(f"pixel_{column}" for column in range(width)),
            (),
            Scaling(mean=every.mean * width, deviation=every.deviation * width),
        ),
        split=split,
        config=config,
        seed=seed,
        augment=shifted,
        labels=_DIGITS,
    )


def pictures(arrays: Named, split: str) -> Items:
    rows = torch.tensor(arrays[f"{split}_x"], dtype=torch.float32)
    groups = [at // _PICTURES_PER_GROUP for at in range(len(rows))]
    return Items(rows.unbind(), torch.tensor(arrays[f"{split}_y"]).long().unbind(), groups)


def shifted(rows: Tensor, draw: torch.Generator) -> Tensor:
    """The same picture a few pixels off; the rim of a digit's picture is empty."""
    down, right = torch.randint(-_LARGEST_SHIFT, _LARGEST_SHIFT + 1, (2,), generator=draw).tolist()
    return rows.roll((down, right), (0, 1))

"""Free Spoken Digit Dataset: six people say the ten digits, fifty times each, at 8 kHz."""

import csv
import io
import lzma
import os
import zipfile
from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path
from random import Random

import numpy as np
import soundfile
import torch
from numpy.typing import NDArray

from training.config import DataConfig
from training.data.arrays import ArrayOrigin, Named, checked, read_arrays
from training.data.batches import DataFacts
from training.data.origin import Fetch
from training.data.speech import (
    Sound,
    SpokenStrings,
    SpokenWords,
    Take,
    Takes,
    Vocabulary,
    spoken_strings,
    spoken_words,
)

_ARCHIVE = (
    "https://github.com/Jakobovski/free-spoken-digit-dataset/archive/"
    "26eb9aaf76e81b692f806f9140c2d2777410d7a1.zip"
)
_FLAC, _INDEX = "speech/fsdd.flac", "speech/fsdd_index.csv.xz"
"""All recordings end to end, and where each one lies: a smaller form of the same arrays."""
_TEST_TAKES = range(5)
"""The split of the data set's own."""
_STRANGER = "yweweler"
"""The last in the alphabet."""
_LOUDEST = 32768.0
_VOCABULARY = Vocabulary(tuple(str(digit) for digit in range(10)), Sound(8000, 80))

Recording = tuple[str, NDArray[np.int16]]
"""Its file's name, `DIGIT_SPEAKER_TAKE.wav`, and its samples."""


def convert_fsdd(fetch: Fetch) -> Named:
    """The repository as one archive: each recording is a WAV file in `recordings`."""
    with zipfile.ZipFile(io.BytesIO(fetch(_ARCHIVE))) as archive:
        paths = [name for name in archive.namelist() if name.endswith(".wav")]
        files = {Path(path).name: io.BytesIO(archive.read(path)) for path in paths}
    return arrays_of((name, _samples(file)) for name, file in files.items())


def read_flac(flac: Path, index: Path) -> Named:
    """The same arrays from one file of sound and its index."""
    samples = _samples(flac)
    rows = csv.DictReader(io.StringIO(lzma.decompress(index.read_bytes()).decode()))
    places = [(row["file"], int(row["start"]), int(row["length"])) for row in rows]
    return arrays_of((name, samples[start : start + length]) for name, start, length in places)


def arrays_of(recordings: Iterable[Recording]) -> Named:
    """Ordered by name: samples end to end, offsets, and what the names say."""
    ordered = sorted(recordings, key=lambda recording: recording[0])
    names = [Path(name).stem.split("_") for name, _ in ordered]
    lengths = [len(samples) for _, samples in ordered]
    return {
        "samples": np.concatenate([samples for _, samples in ordered]),
        "offsets": np.cumsum([0, *lengths], dtype=np.int32),
        "label": np.array([int(digit) for digit, _, _ in names], np.int8),
        "speaker": np.array([speaker for _, speaker, _ in names]),
        "take": np.array([int(take) for _, _, take in names], np.int16),
    }


FSDD = ArrayOrigin(
    path="speech/fsdd.npz",
    url=_ARCHIVE,
    sha256="bd7578eaf331e330a616ea8cdc3205b40778fbb1ea6691e04a6fff347a77d8ef",
    convert=convert_fsdd,
)


def read_fsdd() -> Named:
    """From RECUR_DATA_DIR in the small form, else as any other arrays. Raises DataError."""
    folder = Path(os.environ.get("RECUR_DATA_DIR", ""))
    if (flac := folder / _FLAC).exists():
        return checked(read_flac(flac, folder / _INDEX), FSDD, str(flac))
    return read_arrays(FSDD)


def spoken_digits(config: DataConfig, seed: int) -> SpokenWords:
    """Takes 0 to 4 are tested, by people who are known."""
    takes = split_by_take(read_fsdd(), fraction=config.validation_fraction, seed=seed)
    return spoken_words(takes, _VOCABULARY, _facts(_BY_TAKE), config=config, seed=seed)


def digits_of_a_stranger(config: DataConfig, seed: int) -> SpokenWords:
    """One person is tested, and not learned from; takes of the others are held out."""
    arrays = read_fsdd()
    parts = split_by_take(arrays, fraction=config.validation_fraction, seed=seed)
    known = Takes(
        learned=[take for take in (*parts.learned, *parts.tested) if take.speaker != _STRANGER],
        held_out=[take for take in parts.held_out if take.speaker != _STRANGER],
        tested=[take for _, take in numbered_takes(arrays) if take.speaker == _STRANGER],
    )
    note = f"All 500 recordings of {_STRANGER} are the test; takes of the five others are held out."
    return spoken_words(known, _VOCABULARY, _facts(note), config=config, seed=seed)


def digit_strings(config: DataConfig, seed: int) -> SpokenStrings:
    """Strings are joined within the same split as `spoken_digits`."""
    takes = split_by_take(read_fsdd(), fraction=config.validation_fraction, seed=seed)
    note = (
        f"{_BY_TAKE} Each string joins 3 to 7 recordings of one speaker and one split, with "
        "pauses up to a quarter of a second and noise 15 to 40 dB below the speech."
    )
    return spoken_strings(takes, _VOCABULARY, _facts(note), config=config, seed=seed)


def split_by_take(arrays: Named, *, fraction: float, seed: int) -> Takes:
    """Takes 0 to 4 are the test; a seeded part of the other takes, of all speakers, is held out."""
    numbered = numbered_takes(arrays)
    others = sorted({number for number, _ in numbered} - set(_TEST_TAKES))
    held = Random(seed).sample(others, round(len(others) * fraction))
    return Takes(
        learned=[take for number, take in numbered if number in {*others} - {*held}],
        held_out=[take for number, take in numbered if number in held],
        tested=[take for number, take in numbered if number in _TEST_TAKES],
    )


def numbered_takes(arrays: Named) -> list[tuple[int, Take]]:
    """Every recording, with the number of its take."""
    samples = torch.from_numpy(arrays["samples"].astype(np.float32) / _LOUDEST)
    ends = pairwise(arrays["offsets"].tolist())
    said = zip(arrays["label"], arrays["speaker"], arrays["take"], ends, strict=True)
    return [
        (int(take), Take(samples[begin:end], int(label), str(speaker)))
        for label, speaker, take, (begin, end) in said
    ]


_BY_TAKE = "The official split: takes 0 to 4 are the test, by the same six people."


def _facts(note: str) -> DataFacts:
    return DataFacts(
        title="Free Spoken Digit Dataset: ten digits, six speakers, 50 takes, 8 kHz",
        source=_ARCHIVE,
        licence="CC BY-SA 4.0",
        splits=(),
        note=note,
    )


def _samples(file: Path | io.BytesIO) -> NDArray[np.int16]:
    samples, _ = soundfile.read(file, dtype="int16")
    return np.asarray(samples, np.int16)

"""Recordings in the origin's form become takes; strings are joined within a split."""

import io
import lzma
import zipfile
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from training.config import DataConfig
from training.data.arrays import contents_digest
from training.data.batches import Shard
from training.data.fsdd import (
    arrays_of,
    convert_fsdd,
    numbered_takes,
    read_flac,
    split_by_take,
)
from training.data.sound import augmented
from training.data.speech import Sound, Take, joined
from training.data.synthetic import generated_tones, generated_tunes

SOUND = Sound(8000, 80)
NAMES = ("7_ann_0.wav", "7_ann_12.wav", "3_bob_5.wav", "0_bob_4.wav")


def recording(at: int) -> np.ndarray:
    return (1000 * (at + 1) + np.arange(200 + 50 * at)).astype(np.int16)


def archive() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as files:
        files.writestr("digits-26eb/README.md", "not a recording")
        for at, name in enumerate(NAMES):
            wav = io.BytesIO()
            soundfile.write(wav, recording(at), 8000, format="WAV", subtype="PCM_16")
            files.writestr(f"digits-26eb/recordings/{name}", wav.getvalue())
    return buffer.getvalue()


def test_an_archive_of_wav_files_becomes_samples_and_what_their_names_say():
    arrays = convert_fsdd(lambda url: archive())
    assert arrays["label"].tolist() == [0, 3, 7, 7]  # in the order of their names
    assert arrays["speaker"].tolist() == ["bob", "bob", "ann", "ann"]
    assert arrays["take"].tolist() == [4, 5, 0, 12]
    ends = list(pairwise(arrays["offsets"].tolist()))
    for (begin, end), at in zip(ends, (3, 2, 0, 1), strict=True):
        np.testing.assert_array_equal(arrays["samples"][begin:end], recording(at))


def test_the_small_form_holds_the_same_arrays(tmp_path: Path):
    parts = [recording(at) for at in range(len(NAMES))]
    starts = np.cumsum([0, *map(len, parts)])
    rows = zip(NAMES, starts, parts, strict=False)
    lines = ["file,start,length", *(f"{name},{start},{len(part)}" for name, start, part in rows)]
    soundfile.write(tmp_path / "all.flac", np.concatenate(parts), 8000, subtype="PCM_16")
    (tmp_path / "index.csv.xz").write_bytes(lzma.compress("\n".join(lines).encode()))
    small = read_flac(tmp_path / "all.flac", tmp_path / "index.csv.xz")
    assert contents_digest(small) == contents_digest(convert_fsdd(lambda url: archive()))


def test_takes_0_to_4_are_tested_and_no_take_is_in_two_splits():
    arrays = arrays_of(
        (f"{digit}_ann_{take}.wav", np.array([digit, take], np.int16))
        for digit in range(2)
        for take in range(20)
    )
    split = split_by_take(arrays, fraction=0.2, seed=0)
    seen = [
        {int(take.samples[1] * 32768) for take in part}
        for part in (split.learned, split.held_out, split.tested)
    ]
    assert seen[2] == {0, 1, 2, 3, 4}
    assert len(seen[1]) == 3
    assert set.union(*seen) == set(range(20))
    assert sum(map(len, seen)) == 20
    assert len(numbered_takes(arrays)) == 40


def takes(count: int) -> list[Take]:
    """Each with a level of its own, by two speakers."""
    return [Take(torch.full((400,), 0.01 * (1 + at)), at % 10, "ab"[at % 2]) for at in range(count)]


def test_a_string_is_of_one_speaker_and_each_take_is_in_one_string_a_round():
    strings = joined(takes(40), SOUND, range(3, 8), rounds=2, seed=0)
    assert all(3 <= len(target) <= 7 for target in strings.targets)
    for target in strings.targets:
        assert len({(int(label) - 1) % 2 for label in target}) == 1  # whose it is
    labels = torch.cat(list(strings.targets))
    assert labels.min() >= 1
    assert len(labels) <= 80  # 40 takes, twice
    for rows, target in zip(strings.rows, strings.targets, strict=True):
        assert len(rows) >= 400 * len(target) // 80


def test_the_same_seed_joins_the_same_strings():
    one, same, other = (joined(takes(40), SOUND, range(3, 8), rounds=1, seed=s) for s in (1, 1, 2))
    assert all(torch.equal(a, b) for a, b in zip(one.rows, same.rows, strict=True))
    assert [len(rows) for rows in one.rows] != [len(rows) for rows in other.rows]


def test_what_is_measured_does_not_depend_on_the_run():
    config = DataConfig("generated-tunes", batch_size=4)
    one, other = generated_tunes(config, 0), generated_tunes(config, 0)
    assert torch.equal(one.split.tested.rows[0], other.split.tested.rows[0])
    epochs = [one.train(epoch, Shard())[0] for epoch in (0, 0, 1)]
    assert torch.equal(epochs[0].inputs, epochs[1].inputs)
    assert epochs[0].inputs.shape != epochs[2].inputs.shape


def test_strings_to_learn_from_begin_as_single_words_and_grow():
    data = generated_tunes(DataConfig("generated-tunes", batch_size=4), 0)
    longest = [
        max(batch.targets.shape[1] for batch in data.train(epoch, Shard()))
        for epoch in (0, 1, 2, 3, 7, 20)
    ]
    assert longest == [1, 1, 2, 3, 7, 7]


def test_augmented_sound_is_the_same_at_another_place_level_and_pace():
    draw = torch.Generator().manual_seed(0)
    seconds = torch.arange(4000) / 8000
    rows = torch.stack([0.2 * (2 * torch.pi * hertz * seconds).sin() for hertz in (200, 800)])
    lengths = torch.tensor([4000, 2400])
    rows[1, 2400:] = 0
    heard, longer = augmented(rows, lengths, draw, sample_rate=8000)
    assert heard.abs().max() <= 1
    assert (longer <= heard.shape[1]).all()
    for before, after in zip(lengths, longer, strict=True):
        assert 0.8 * before < after < 1.2 * before + 1600
    spectra = torch.fft.rfft(heard).abs()
    peaks = spectra.argmax(dim=1) * 8000 / heard.shape[1]
    for peak, hertz in zip(peaks, (200, 800), strict=True):
        assert 0.8 * hertz < peak < 1.25 * hertz
    assert float(peaks[1] / peaks[0]) == pytest.approx(4, rel=0.02)  # one pace for a batch


def test_a_batch_to_learn_from_is_whole_hops():
    data = generated_tones(DataConfig("generated-tones", batch_size=8), 0)
    for batch in data.train(0, Shard()):
        assert batch.inputs.shape[2] == 80
        assert batch.lengths is not None
        assert 1 <= batch.lengths.min() <= batch.lengths.max() <= batch.inputs.shape[1]

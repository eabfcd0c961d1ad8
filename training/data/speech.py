"""Recordings of words: each with its class, or several joined to a string that is to be written.

A step is a hop of samples, and a recording's last hop is left out where it is not whole: so the
service hears it, which waits for the rest.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor

from training.config import DataConfig
from training.data.batches import Batch, DataFacts, LazyBatches, Shard, epoch_seed
from training.data.signals import (
    Items,
    Split,
    batch_of,
    batches_in_order,
    counted,
    learned_places,
)
from training.data.sound import augmented

_USUAL = range(3, 8)
"""Words of a string."""
_EPOCHS_OF_SINGLE_WORDS = 2
"""So training begins: in a long string nobody tells which sound is which label, and what is learned
first is to write nothing. Then each epoch has strings of one word more."""
_TEST_ROUNDS = 4
_LONGEST_PAUSE_SECONDS = 0.25
"""Between two words; a string begins and ends with a pause, too."""
_LEAST_NOISE, _MOST_NOISE = -2.0, -0.75
"""Powers of ten of a string's own level: 40 to 15 dB below it."""


@dataclass(frozen=True, slots=True)
class Take:
    """One word, spoken once."""

    samples: Tensor
    """`[time]` in -1..1"""
    label: int
    speaker: str


@dataclass(frozen=True, slots=True)
class Takes:
    """In three splits."""

    learned: Sequence[Take]
    held_out: Sequence[Take]
    tested: Sequence[Take]


@dataclass(frozen=True, slots=True)
class Sound:
    """How the samples are read."""

    sample_rate: int
    hop: int

    def hops(self, samples: Tensor) -> Tensor:
        """`[time]` to whole hops, `[hops, hop]`."""
        whole = len(samples) // self.hop
        return samples[: whole * self.hop].view(whole, self.hop)


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """What may be said, and how it is recorded."""

    labels: tuple[str, ...]
    sound: Sound


@dataclass(frozen=True, slots=True)
class _Speech:
    facts: DataFacts
    sound: Sound
    labels: tuple[str, ...]
    split: Split
    """Hops `[time, hop]` of every recording."""
    config: DataConfig
    seed: int

    def validation(self) -> Sequence[Batch]:
        return batches_in_order(self.split.held_out, self.config.batch_size)

    def _learned(self, items: Items, epoch: int, shard: Shard) -> Sequence[Batch]:
        seed = epoch_seed(self.seed, epoch)
        places = learned_places(items, self.config.batch_size, shard, seed=seed)
        return LazyBatches(places, partial(_augmented, items, self.sound), seed=seed)


@dataclass(frozen=True, slots=True)
class SpokenWords(_Speech):
    """One class for each recording."""

    def train(self, epoch: int, shard: Shard) -> Sequence[Batch]:
        return self._learned(self.split.learned, epoch, shard)


@dataclass(frozen=True, slots=True)
class SpokenStrings(_Speech):
    """Strings of words, joined anew for every epoch of training, at first of few words.

    Targets count from 1.
    """

    takes: Sequence[Take]
    """To learn from."""

    def train(self, epoch: int, shard: Shard) -> Sequence[Batch]:
        seed = epoch_seed(self.seed, epoch) % 2**62
        longest = min(max(1, epoch + 2 - _EPOCHS_OF_SINGLE_WORDS), _USUAL.stop - 1)
        words = range(min(longest, _USUAL.start), longest + 1)
        items = joined(self.takes, self.sound, words, rounds=self.config.looks, seed=seed)
        return self._learned(items, epoch, shard)


def spoken_words(
    takes: Takes, task: Vocabulary, facts: DataFacts, *, config: DataConfig, seed: int
) -> SpokenWords:
    """Each recording by itself."""
    parts = (takes.learned, takes.held_out, takes.tested)
    split = Split(*(_alone(part, task.sound) for part in parts))
    facts = counted(facts, split, "recordings")
    return SpokenWords(facts, task.sound, task.labels, split, config, seed)


def spoken_strings(
    takes: Takes, task: Vocabulary, facts: DataFacts, *, config: DataConfig, seed: int
) -> SpokenStrings:
    """Recordings of one speaker and one split, joined.

    What is measured is always the same: each recording of the test in a few strings.
    """
    parts = (takes.learned, takes.held_out, takes.tested)
    rounds = (config.looks, config.looks, _TEST_ROUNDS)
    strings = [
        joined(part, task.sound, _USUAL, rounds=times, seed=0)
        for part, times in zip(parts, rounds, strict=True)
    ]
    split = Split(*strings)
    facts = counted(facts, split, "strings")
    return SpokenStrings(facts, task.sound, task.labels, split, config, seed, takes.learned)


def joined(takes: Sequence[Take], sound: Sound, words: range, *, rounds: int, seed: int) -> Items:
    """Strings of so many takes of one speaker, with pauses and noise; each take once a round.

    What is left of a speaker when a round ends is too short for a string, and left out.
    """
    draw = np.random.default_rng(seed)
    rows, targets = list[Tensor](), list[Tensor]()
    speakers = sorted({take.speaker for take in takes})
    for speaker in speakers * rounds:
        own = [take for take in takes if take.speaker == speaker]
        order = [own[place] for place in draw.permutation(len(own))]
        while len(order) >= words.start:
            string = order[: int(draw.integers(words.start, words.stop))]
            order = order[len(string) :]
            rows.append(sound.hops(_joined(string, sound, draw)))
            targets.append(torch.tensor([take.label + 1 for take in string]))
    return Items(rows, targets, [0] * len(rows))


def _joined(string: Sequence[Take], sound: Sound, draw: np.random.Generator) -> Tensor:
    longest = int(_LONGEST_PAUSE_SECONDS * sound.sample_rate)
    pauses = [torch.zeros(int(size)) for size in draw.integers(0, longest, len(string) + 1)]
    parts = [pauses[0]]
    for take, pause in zip(string, pauses[1:], strict=True):
        parts += [take.samples, pause]
    samples = torch.cat(parts)
    level = float(samples.square().mean().sqrt())
    noise = 10 ** draw.uniform(_LEAST_NOISE, _MOST_NOISE) * level
    noisy = samples + noise * torch.from_numpy(draw.standard_normal(len(samples), np.float32))
    return noisy.clamp(-1, 1)


def _alone(takes: Sequence[Take], sound: Sound) -> Items:
    rows = [sound.hops(take.samples) for take in takes]
    return Items(rows, [torch.tensor(take.label) for take in takes], [0] * len(rows))


def _augmented(items: Items, sound: Sound, places: Sequence[int], draw: torch.Generator) -> Batch:
    batch = batch_of([items.rows[at] for at in places], [items.targets[at] for at in places])
    assert batch.lengths is not None
    hop = sound.hop
    samples, lengths = augmented(
        batch.inputs.flatten(1), batch.lengths * hop, draw, sample_rate=sound.sample_rate
    )
    time = samples.shape[1] // hop
    hops = samples[:, : time * hop].unflatten(1, (time, hop))
    return Batch(hops, batch.targets, (lengths // hop).clamp(1, time))

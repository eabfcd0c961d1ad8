"""Small generated data of every kind, for trials: nothing to download, seconds to learn."""

import math
import random

import numpy as np
import torch
from torch import Tensor

from service.artifact.scaling import Scaling
from training.config import DataConfig
from training.data.anomalies import AnomalyData, Experiment, Recorded, experiments_to_learn
from training.data.batches import DataFacts
from training.data.language import LanguageData, split_text
from training.data.many_series import Ahead, ManySeries, Series
from training.data.pairs import Pair, TextPairs, split_pairs
from training.data.questions import Labelled, LabelledTexts, split_texts
from training.data.signals import (
    Items,
    LabelledSignals,
    MeasuredSignals,
    Signals,
    counted,
    scaling_of,
    split_items,
)
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
from training.data.tagging import Tagged, TaggedSentences, split_sentences
from training.data.timeseries import SeriesData, Table, split_table

_SUBJECTS = ("the cat", "the dog", "a bird", "one fox")
_VERBS = {"cat": "sleeps", "dog": "barks", "bird": "sings", "fox": "runs"}
_ASKED = {
    "HUM": ("who wrote", "who is", "who found"),
    "LOC": ("where is", "where lies", "what city holds"),
    "NUM": ("how many", "when was", "how far is"),
}
_CITIES = ("Paris", "Oslo", "New York", "San Jose")
_WISHES = {"book": "book a flight", "price": "what costs a flight"}
_ANIMALS = {"die katze": "the cat", "ein hund": "a dog", "der vogel": "the bird"}
_DEEDS = {"singt": "sings", "schläft": "sleeps", "läuft weg": "runs away"}
_WAYS = {"leise": "softly", "im garten": "in the garden", "sehr lange": "for a long time"}
_TONES = Vocabulary(("l", "m", "h"), Sound(8000, 80))
_THINGS = ("the tower", "a river", "the old book", "that long road by the sea", "it")


def generated_text(config: DataConfig, seed: int) -> LanguageData:
    """Lines in which the verb follows from the subject."""
    draw = random.Random(seed)
    lines: list[str] = []
    for _ in range(400):
        subject = draw.choice(_SUBJECTS)
        lines.append(f"{subject} {_VERBS[subject.split()[1]]}.\n")
    return split_text("".join(lines), _facts("generated lines"), config=config, seed=seed)


def generated_questions(config: DataConfig, seed: int) -> LabelledTexts:
    """Questions whose first words tell the label."""
    draw = random.Random(seed)
    items: list[Labelled] = []
    for _ in range(200):
        label = draw.choice(sorted(_ASKED))
        items.append(Labelled(f"{draw.choice(_ASKED[label])} {draw.choice(_THINGS)} ?", label))
    facts = _facts("generated questions")
    return split_texts(items[:160], items[160:], facts=facts, config=config, seed=seed)


def generated_wishes(config: DataConfig, seed: int) -> TaggedSentences:
    """Flights from one city to another: the word before tells the slot, the first the intent."""
    draw = random.Random(seed)
    items: list[Tagged] = []
    for _ in range(120):
        intent, (start, end) = draw.choice(sorted(_WISHES)), draw.sample(_CITIES, 2)
        parts = ((_WISHES[intent], ""), ("from", ""), (start, "from"), ("to", ""), (end, "to"))
        words, tags = list[str](), list[str]()
        for text, slot in parts:
            for place, word in enumerate(text.split()):
                words.append(word)
                tags.append(f"{'I' if place else 'B'}-{slot}" if slot else "O")
        items.append(Tagged(tuple(words), tuple(tags), intent))
    facts = _facts("generated wishes")
    return split_sentences(
        items[:80], items[80:100], items[100:], facts=facts, config=config, seed=seed
    )


def generated_series(config: DataConfig, seed: int) -> SeriesData:
    """Two daily waves with noise and drift, four hours ahead."""
    noise = np.random.default_rng(seed)
    hours = np.arange(600)
    waves = [np.sin(2 * math.pi * (hours + shift) / 24) for shift in (0, 6)]
    values = np.stack(waves, axis=1) * [3.0, 5.0] + [10.0, -2.0]
    values = values + noise.normal(0.0, 0.2, values.shape) + hours[:, None] / 300
    table = Table(("first", "second"), ("", ""), 3600.0, values)
    facts = _facts("generated waves")
    return split_table(table, (400, 500, 600), horizon=4, facts=facts, config=config, seed=seed)


def generated_rhythms(config: DataConfig, seed: int) -> ManySeries:
    """Waves that come again after six hours, each with a level and a size of its own."""
    draw = np.random.default_rng(seed)
    series: list[Series] = []
    for at in range(6):
        count = 120 + 10 * at
        wave = np.sin(2 * math.pi * np.arange(count) / 6 + at)
        values = (wave + draw.normal(0, 0.2, count)) * 2.0**at + 5.0 * 4**at
        series.append(Series(f"wave {at}", values, (count - 16, count - 8, count)))
    return ManySeries(
        facts=_facts("generated rhythms"),
        series=series,
        feature="height",
        step_seconds=3600.0,
        horizon=4,
        judged=Ahead((1, 4)),
        config=config,
        seed=seed,
    )


def generated_pairs(config: DataConfig, seed: int) -> TextPairs:
    """Animals that do things, in German and in English."""
    draw = random.Random(seed)
    pairs: list[Pair] = []
    for _ in range(600):
        words = [draw.choice(sorted(choices.items())) for choices in (_ANIMALS, _DEEDS, _WAYS)]
        german, english = (" ".join(word[side] for word in words) for side in (0, 1))
        pairs.append(Pair(german, (english,)))
    facts = _facts("generated pairs")
    return split_pairs(
        pairs[:500], pairs[500:550], pairs[550:], facts=facts, config=config, seed=seed
    )


def generated_waves(config: DataConfig, seed: int) -> LabelledSignals:
    """A slow or a fast wave, of differing length and phase."""
    draw = torch.Generator().manual_seed(seed)
    labels = ("slow", "fast")
    items = [(_wave(0.2 + 0.4 * (at % 2), draw), torch.tensor(at % 2)) for at in range(120)]
    learn, test = _items(items[:80]), _items(items[80:])
    split = split_items(learn, test, fraction=config.validation_fraction, seed=seed)
    return LabelledSignals(
        facts=counted(_facts("generated waves"), split, "waves"),
        signals=Signals(("height", "tilt"), ("m", ""), scaling_of(split.learned)),
        split=split,
        config=config,
        seed=seed,
        augment=None,
        labels=labels,
    )


def generated_wear(config: DataConfig, seed: int) -> MeasuredSignals:
    """A reading that grows until the end, which comes after 20 to 39 steps."""
    draw = torch.Generator().manual_seed(seed)
    items: list[tuple[Tensor, Tensor]] = []
    for at in range(60):
        left = torch.arange(20 + at % 20).flip(0).float()
        grown = torch.stack([10 - 0.2 * left, torch.rand(len(left), generator=draw)], dim=1)
        items.append((grown, left))
    tested = [(rows[:12], left[:12]) for rows, left in items[40:]]
    learn, test = _items(items[:40]), _items(tested)
    split = split_items(learn, test, fraction=config.validation_fraction, seed=seed)
    return MeasuredSignals(
        facts=counted(_facts("generated wear"), split, "parts"),
        signals=Signals(("wear", "noise"), ("mm", ""), scaling_of(split.learned)),
        split=split,
        config=config,
        seed=seed,
        augment=None,
        name="remaining_life",
        unit="steps",
        outputs=Scaling(mean=(20.0,), deviation=(10.0,)),
        cap=40.0,
    )


def generated_oddities(config: DataConfig, seed: int) -> AnomalyData:
    """Two noisy sensors at rest; in every second experiment both leave their level."""
    draw = torch.Generator().manual_seed(seed)
    experiments: list[Experiment] = []
    for at in range(12):
        rows = torch.randn(120, 2, generator=draw) + torch.tensor([5.0, -1.0])
        odd = torch.zeros(120)
        if at % 2:
            odd[80:110] = 1
        experiments.append(Experiment(f"{at}", rows + 4 * odd.unsqueeze(1), odd))
    recorded = Recorded(("first", "second"), ("V", "A"), num_normal=40)
    facts = _facts("generated oddities")
    return experiments_to_learn(experiments, recorded, facts=facts, config=config, seed=seed)


def generated_tones(config: DataConfig, seed: int) -> SpokenWords:
    """Whistled tones, low, middle or high, each by itself."""
    facts = _facts("generated tones")
    return spoken_words(_tones(seed), _TONES, facts, config=config, seed=seed)


def generated_tunes(config: DataConfig, seed: int) -> SpokenStrings:
    """The same tones, several in a string."""
    facts = _facts("generated tunes")
    return spoken_strings(_tones(seed), _TONES, facts, config=config, seed=seed)


def _tones(seed: int) -> Takes:
    draw = torch.Generator().manual_seed(seed)
    takes = [_whistled(at, draw) for at in range(180)]
    return Takes(learned=takes[:120], held_out=takes[120:150], tested=takes[150:])


def _whistled(at: int, draw: torch.Generator) -> Take:
    """A tone of 60 to 120 ms that begins and ends softly."""
    length = int(torch.randint(480, 960, (), generator=draw))
    hertz = 500 * 2 ** (at % 3) * (1 + 0.1 * torch.rand((), generator=draw))
    seconds = torch.arange(length) / _TONES.sound.sample_rate
    noise = 0.002 * torch.randn(length, generator=draw)
    return Take(
        0.2 * torch.hann_window(length) * (math.tau * hertz * seconds).sin() + noise,
        label=at % 3,
        speaker=("ann", "bob")[at // 3 % 2],
    )


def _wave(pace: float, draw: torch.Generator) -> Tensor:
    steps = int(torch.randint(10, 30, (), generator=draw))
    angles = torch.rand((), generator=draw) * math.tau + pace * torch.arange(steps)
    return torch.stack([3 * angles.sin() + 1, angles.cos()], dim=1)


def _items(items: list[tuple[Tensor, Tensor]]) -> Items:
    rows, targets = zip(*items, strict=True)
    return Items(rows, targets, range(len(items)))


def _facts(title: str) -> DataFacts:
    return DataFacts(
        title=title, source="training/data/synthetic.py", licence="generated", splits=()
    )

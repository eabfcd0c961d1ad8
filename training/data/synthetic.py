"""Small generated data of every kind, for trials: nothing to download, seconds to learn."""

import math
import random

import numpy as np

from training.config import DataConfig
from training.data.batches import DataFacts
from training.data.language import LanguageData, split_text
from training.data.questions import Labelled, LabelledTexts, split_texts
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


def _facts(title: str) -> DataFacts:
    return DataFacts(
        title=title, source="training/data/synthetic.py", licence="generated", splits=()
    )

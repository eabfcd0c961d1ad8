"""What would be written without a network: the floor of what is measured."""

from collections import defaultdict
from dataclasses import dataclass

import numpy as np

from training.data.pairs import Pairs, TextPairs

_LEADING_WORDS = 14
"""Of an e-mail, these have the highest ROUGE-1 on validation."""


@dataclass(frozen=True, slots=True)
class Trivial:
    name: str
    texts: list[str]
    """One for each source of the test split."""


def trivial(data: TextPairs) -> Trivial:
    """The beginning, where a text is to be summarised; else the nearest source's target."""
    if data.measure == "rouge":
        return Trivial(f"the first {_LEADING_WORDS} words", leading_words(data.tested))
    return Trivial("target of the training source most like it", nearest_targets(data))


def leading_words(pairs: Pairs) -> list[str]:
    return [" ".join(item.source.split()[:_LEADING_WORDS]) for item in pairs.items]


def nearest_targets(data: TextPairs) -> list[str]:
    """What a translator without a network would say: the target of the source most like it.

    Alike is what shares rare tokens: the sum of log(N / n) over shared tokens, over the root of the
    other source's length.
    """
    rows: defaultdict[int, list[int]] = defaultdict(list)
    for row, source in enumerate(data.learned.sources):
        for token in set(source.tolist()):
            rows[token].append(row)
    holding = {token: np.array(held) for token, held in rows.items()}
    total = len(data.learned.sources)
    lengths = np.sqrt([len(source) for source in data.learned.sources])
    found: list[str] = []
    for source in data.tested.sources:
        alike = np.zeros(total)
        for token in set(source.tolist()) & holding.keys():
            alike[holding[token]] += np.log(total / len(holding[token]))
        found.append(data.learned.items[int(np.argmax(alike / lengths))].targets[0])
    return found

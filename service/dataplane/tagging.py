"""A tag for every step, and for every word that the steps are pieces of."""

from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from service.artifact.scores import softmax
from service.artifact.tasks import TaggingOutput
from service.artifact.text import Text, Word, Words
from service.dataplane.types import Classification, TaggedWord, Tagging


class WordSteps(np.ndarray[Any, np.dtype[np.int64]]):
    """Token ids `[time]` that remember the words that they are pieces of.

    An array like any other to all who hand steps on; the answer is told in words.
    """

    words: tuple[Word, ...]

    @classmethod
    def of(cls, words: Words) -> Self:
        steps = words.ids.view(cls)
        steps.words = words.words
        return steps


def tagging_of(
    output: TaggingOutput,
    scores: NDArray[np.float32],
    steps: NDArray[np.int64],
    *,
    text: Text,
) -> Tagging:
    """The likeliest tag of every step; the intent that the last step tells.

    `scores [steps, tags + intents]`, `steps [steps]`.
    """
    num_tags = len(output.tags)
    chances = softmax(scores[:, :num_tags])  # [steps, tags]
    tags = [output.tags[tag] for tag in chances.argmax(axis=1)]
    probabilities: list[float] = chances.max(axis=1).tolist()
    words = None
    if isinstance(steps, WordSteps):
        words = [
            TaggedWord(w.text, w.start, w.end, tags[w.last_token], probabilities[w.last_token])
            for w in steps.words
        ]
    intent = None
    if output.intents:
        intent = Classification(output.intents, softmax(scores[-1, num_tags:]))
    tokens = [text.token(token) for token in steps.tolist()]
    return Tagging(tokens, tags, probabilities, words, intent)

"""A tag for every step: what is kept while a sequence is read, and what is said of it."""

from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from service.artifact.labels import softmax
from service.artifact.manifest import TaggingOutput
from service.artifact.text import Text, Word, Words
from service.dataplane.types import Classification, TaggedWord, Tagging
from service.engine.continuations import Finished, Read
from service.engine.row_output import RowOutput


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


class TagsRead(Finished, frozen=True, kw_only=True):
    """The end of a sequence of which every step has an answer."""

    scores: NDArray[np.float32]
    """`[steps, tags + intents]`"""


class ReadTags(Read):
    """Keeps every step's scores; other outputs only if they are asked for, by `raw`."""

    def __init__(self, per_step: frozenset[str], scores: str, *, raw: bool) -> None:
        super().__init__(per_step, keep=True)
        self._scores = scores
        self._raw = raw

    def _keep(self, outputs: dict[str, NDArray[np.float32]]) -> None:
        super()._keep(outputs if self._raw else {self._scores: outputs[self._scores]})

    def _finish(self, row: RowOutput) -> Finished:
        kept = self._whole_outputs()
        assert kept is not None, "every step was kept"
        outputs = kept if self._raw else None
        return TagsRead(row, outputs=outputs, scores=kept[self._scores])


def tagging_of(
    output: TaggingOutput, read: TagsRead, steps: NDArray[np.int64], *, text: Text
) -> Tagging:
    """The likeliest tag of every step; the intent that the last step tells."""
    num_tags = len(output.tags)
    chances = softmax(read.scores[:, :num_tags])  # [steps, tags]
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
        intent = Classification(output.intents, softmax(read.scores[-1, num_tags:]))
    tokens = [text.token(token) for token in steps.tolist()]
    return Tagging(tokens, tags, probabilities, words, intent)

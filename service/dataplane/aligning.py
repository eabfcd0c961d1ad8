"""Where a decoder looked: it reads a text that it wrote once more, and all it gives is kept.

A search would have to remember what was seen on ways that led nowhere.
"""

from collections.abc import Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from service.artifact.beam import Ended
from service.dataplane.reading import ends_of
from service.dataplane.sources import Begun, Translator
from service.dataplane.types import Alignment
from service.engine.continuations import Finished, Read
from service.engine.engine import Row, Submit
from service.errors import RecurError


class Found(msgspec.Struct, frozen=True):
    """What a search found for a source."""

    begun: Begun
    ranked: list[Ended]
    """Best first; at least one."""

    @property
    def best(self) -> Ended:
        return self.ranked[0]

    def best_tokens(self, end_token: int) -> tuple[int, ...]:
        """All that was written, the end included where there is one."""
        end = (end_token,) if self.best.reason == "stop" else ()
        return (*self.best.hypothesis.tokens, *end)

    def num_tokens(self, num_texts: int) -> int:
        """Of the best `num_texts`, their ends included."""
        texts = self.ranked[:num_texts]
        return sum(len(one.hypothesis.tokens) + (one.reason == "stop") for one in texts)


class ReadAgain(Read):
    """Keeps every output at every step, those of source steps without their padding."""

    def __init__(
        self, per_step: frozenset[str], *, of_source: frozenset[str], source_steps: int
    ) -> None:
        super().__init__(per_step, keep=True)
        self._of_source = of_source
        self._source_steps = source_steps

    def _keep(self, outputs: dict[str, NDArray[np.float32]]) -> None:
        super()._keep(
            {
                name: array[..., : self._source_steps] if name in self._of_source else array
                for name, array in outputs.items()
            }
        )


async def read_again(
    translator: Translator, texts: Sequence[Found], submit: Submit
) -> list[dict[str, NDArray[np.float32]] | RecurError]:
    """Each output of the decoder at every token of the best texts, `[time, ...]`."""
    specs = translator.model.manifest.graph.outputs
    of_source = frozenset(spec.name for spec in specs if "source_time" in spec.shape)
    per_step = translator.model.runtime.per_step
    output, rows = translator.output, list[Row]()
    for text in texts:
        written = text.best_tokens(output.end_token)
        inputs = np.array([output.start_token, *written[:-1]], np.int64)
        begun = text.begun
        reader = ReadAgain(per_step, of_source=of_source, source_steps=len(begun.memory))
        rows.append(Row(inputs, begun.state, reader, begun.memory))
    outputs: list[dict[str, NDArray[np.float32]] | RecurError] = []
    for end in await ends_of(submit(rows), Finished):
        if isinstance(end, RecurError):
            outputs.append(end.kept())
        else:
            assert end.outputs is not None, "its rows keep them"
            outputs.append(end.outputs)
    return outputs


def alignment_of(translator: Translator, text: Found, weights: NDArray[np.float32]) -> Alignment:
    """`weights [target_time, source_time]`."""
    output, source = translator.output, translator.with_end(text.begun.source)
    reads, writes = translator.source_text, translator.target_text
    return Alignment(
        weights,
        source=[reads.token(token) for token in source.tolist()],
        target=[writes.token(token) for token in text.best_tokens(output.end_token)],
    )

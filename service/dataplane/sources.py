"""An encoder-decoder's sources: read whole, once, by an engine that runs nothing else."""

from collections.abc import Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from service.artifact.tasks import Seq2SeqOutput
from service.artifact.text import Text
from service.dataplane.reading import ends_of
from service.dataplane.series import ReadSeries
from service.dataplane.types import Call
from service.engine.continuations import Finished
from service.engine.engine import Engine, Row
from service.errors import RecurError
from service.registry.served_model import ServedModel
from service.runtime.base import Runtime, State


class Translator(msgspec.Struct, frozen=True):
    """The parts of an encoder-decoder that is served."""

    model: ServedModel
    encoder: Engine
    reads: Runtime
    """What the encoder's engine runs."""
    source_text: Text
    target_text: Text
    output: Seq2SeqOutput

    @property
    def decoder(self) -> Engine:
        return self.model.engine

    def with_end(self, source: NDArray[np.int64]) -> NDArray[np.int64]:
        """As the encoder reads it."""
        return np.append(source, self.output.source_end_token)


class Begun(msgspec.Struct, frozen=True):
    """A source that was read, and where its text begins."""

    source: NDArray[np.int64]
    """Token ids `[source_time]`, without their end."""
    memory: NDArray[np.float32]
    """`[source_time, features]`"""
    state: State


def translator(model: ServedModel) -> Translator | None:
    """None where the model is no encoder-decoder."""
    if model.encoder is None:
        return None
    artifact, verified = model.verified.artifact, model.verified.encoder
    assert verified is not None, "its engine runs it"
    assert artifact.text is not None, "an encoder reads text"
    assert artifact.target_text is not None, "a decoder writes text"
    output = artifact.manifest.output
    assert isinstance(output, Seq2SeqOutput), "pairs are the task of two graphs"
    return Translator(
        model, model.encoder, verified.runtime, artifact.text, artifact.target_text, output
    )


async def read_sources(
    translator: Translator, sources: Sequence[NDArray[np.int64]], call: Call
) -> list[Begun | RecurError]:
    """Token ids `[source_time]`, without their end. One that fails, fails alone.

    The decoder's engine must have admitted them: that one is drained for both.
    """
    runtime = translator.reads
    zero = runtime.initial_state()
    (memory,) = runtime.per_step
    rows = [
        Row(translator.with_end(source), zero, ReadSeries(runtime.per_step, output=memory))
        for source in sources
    ]
    submitted = translator.encoder.submit(rows, deadline=call.deadline, flow=call.flow)
    ends = await ends_of(submitted, Finished)
    return [_begun(source, end) for source, end in zip(sources, ends, strict=True)]


def _begun(source: NDArray[np.int64], end: Finished | RecurError) -> Begun | RecurError:
    if isinstance(end, RecurError):
        return end.kept()
    assert end.answer is not None, "its rows keep the memory"
    try:
        return Begun(source, end.answer, end.state)
    except RecurError as error:  # of a state that is not finite
        return error.kept()

"""An encoder-decoder's sources: read whole, once, by an engine that runs nothing else."""

from collections.abc import Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from service.artifact.manifest import Seq2SeqOutput
from service.artifact.text import Text
from service.dataplane.reading import ends_of
from service.dataplane.series import ReadSeries
from service.dataplane.types import Call
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
    artifact, verified, output = model.verified.artifact, model.verified.encoder, None
    if isinstance(model.manifest.output, Seq2SeqOutput):
        output = model.manifest.output
    if output is None or verified is None or model.encoder is None:
        return None
    source, target = artifact.text, artifact.target_text
    assert source is not None, "an encoder reads text"
    assert target is not None, "a decoder writes text"
    return Translator(model, model.encoder, verified.runtime, source, target, output)


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
    begun: list[Begun | RecurError] = []
    for source, end in zip(sources, await ends_of(submitted), strict=True):
        if isinstance(end, RecurError):
            begun.append(end.kept())
        else:
            assert end.answer is not None, "its rows keep the memory"
            begun.append(Begun(source, end.answer, end.state))
    return begun

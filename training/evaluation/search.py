"""Many sources are decoded side by side, each by a beam of its own; as the service does it."""

from collections.abc import Sequence

import numpy as np
from torch import Tensor

from service.artifact.beam import Beam, BeamParams, Ended
from service.artifact.scores import likeliest_tokens
from training.data.batches import pad
from training.runner import Memory, PairRunner

_SOURCES = 32
"""Decoded in one call; each has as many rows as its beam is wide."""


def search(
    sources: Sequence[Tensor], runner: PairRunner, params: BeamParams, *, start: int
) -> list[Ended]:
    """The best text of each source `[source_time]`; `start` is the token before the first."""
    order = sorted(range(len(sources)), key=lambda place: len(sources[place]))
    found: dict[int, Ended] = {}
    for begin in range(0, len(order), _SOURCES):
        places = order[begin : begin + _SOURCES]
        memory = remember([sources[place] for place in places], runner)
        found |= zip(places, _search(memory, runner, params, start=start), strict=True)
    return [found[place] for place in range(len(sources))]


def remember(sources: Sequence[Tensor], runner: PairRunner) -> Memory:
    lengths = np.array([len(source) for source in sources], np.int32)
    return runner.encode(pad(sources).numpy(), lengths)


def _search(memory: Memory, runner: PairRunner, params: BeamParams, *, start: int) -> list[Ended]:
    beams = [Beam(params) for _ in memory.lengths]
    looked, tokens = memory, [start] * len(beams)
    while tokens:
        decoded = runner.decode(np.array(tokens)[:, None], looked)
        told = likeliest_tokens(decoded.outputs[:, -1], params.num_candidates)
        sources, parents, tokens, row = list[int](), list[int](), list[int](), 0
        for source, beam in enumerate(beams):
            count = len(beam.live)
            places = beam.advance(told[row : row + count])
            sources += [source] * len(places)
            parents += [row + place for place in places]
            tokens += [hypothesis.tokens[-1] for hypothesis in beam.live]
            row += count
        state = tuple(part[:, parents] for part in decoded.state)
        looked = Memory(memory.values[sources], memory.lengths[sources], state)
    return [beam.ranked[0] for beam in beams]

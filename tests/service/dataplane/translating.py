"""Asks `babel` to write, and knows what it must: a pure beam over its graphs, for one source."""

from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
from hypothesis import strategies as st

from service.artifact.beam import Beam, BeamParams, Ended
from service.artifact.scores import likeliest_tokens
from service.dataplane.types import GenerateRequest, Prediction, SearchRequest, Written
from service.errors import RecurError
from service.runtime.base import Memory, State, StepInput, host_state
from service.runtime.state import stack
from tests.service.babel import LETTERS
from tests.service.dataplane.serving import (
    Generated,
    Serving,
    call,
    collect,
    direct,
    encoder_of,
    small_artifacts,
)

END, START = 0, 1
PADDED = 16
"""Source steps that a decoder sums over at once."""
DEFAULT = BeamParams(END, width=3, length_penalty=0.6, max_tokens=12)

WORDS = ["bad", "cafe", "feed", "hij", "a", "decade", "gig"]
sources = st.lists(st.integers(2, len(LETTERS) - 1), min_size=1, max_size=40)


async def translate(it: Serving, *texts: Any, **search: Any) -> list[Prediction | RecurError]:
    request = SearchRequest(**search)
    return (await it.plane.predict("babel", texts, call=call(), search=request)).results


async def write(it: Serving, prompt: Any = "cafe", **request: Any) -> Generated:
    request = {"stream": False} | request
    asked = GenerateRequest(prompt=prompt, **request)
    return await collect(it.plane.generate("babel", asked, call=call()))


def letters(tokens: Sequence[int]) -> str:
    return "".join(LETTERS[token] for token in tokens)


def ids(text: str) -> list[int]:
    return [LETTERS.index(letter) for letter in text]


def written(result: Prediction | Exception) -> Written:
    assert isinstance(result, Prediction), result
    assert isinstance(result.answer, Written)
    return result.answer


def searched(source: Sequence[int], params: BeamParams = DEFAULT) -> list[Ended]:
    """All that the search finds, best first."""
    return _searched(tuple(source), params)


@cache
def _searched(source: tuple[int, ...], params: BeamParams) -> list[Ended]:
    decoder, beam = direct("babel"), Beam(params)
    memory, states = read(source)
    while not beam.done:
        lasts = [hypothesis.tokens[-1:] or (START,) for hypothesis in beam.live]
        given = decoder.step(
            StepInput(
                np.array(lasts, np.int64),
                np.ones(len(lasts), np.int32),
                stack(states, decoder.batch_axes),
                single=True,
                memory=Memory(
                    np.repeat(memory.values, len(lasts), axis=0),
                    np.repeat(memory.lengths, len(lasts)),
                ),
            )
        )
        told = likeliest_tokens(given.outputs["logits"][:, -1], params.num_candidates)
        (after,) = host_state(given.state)
        states = [(after[:, place],) for place in beam.advance(told)]
    return beam.ranked


def read(source: Sequence[int]) -> tuple[Memory, list[State]]:
    """The memory of one source, padded as the engine pads it, and its decoder's first state."""
    encoder = encoder_of(small_artifacts()["babel"])
    assert encoder is not None
    tokens = np.array([[*source, END]], np.int64)
    lengths = np.array([tokens.shape[1]], np.int32)
    zero = stack([encoder.initial_state()], encoder.batch_axes)
    given = encoder.step(StepInput(tokens, lengths, zero))
    (values,), (begin,) = given.outputs.values(), host_state(given.state)
    padding = -values.shape[1] % PADDED
    values = np.pad(values, ((0, 0), (0, padding), (0, 0)))
    return Memory(values, lengths), [(begin[:, 0],)]

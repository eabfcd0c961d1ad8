"""A lowered graph is believed when measured against the one that it was made from.

Torch is not asked: both are ONNX, and what was published long ago can be held to itself.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from service.artifact.graphs import GraphSpec
from service.artifact.tasks import AudioInput, Input, NumericInput, TextInput
from training.export.claims import (
    ALONE_EQUALS_COMPANY,
    CHUNKS_EQUAL_WHOLE,
    LOUDNESS,
    PADDING_CHANGES_NOTHING,
    ROWS,
    STEPS,
    Values,
    from_chunks,
    from_company,
    from_padding,
    from_whole,
    hold,
    random_rows,
    refusals,
)
from training.runner import Array, Runner

STEP_EQUALS_SEQUENCE = "step_equals_sequence"
STEP_ALONE_EQUALS_COMPANY = "step_alone_equals_company"
INT8 = "int8_"
"""Stands before a claim about the graphs in integers."""

_ROUNDING = 1e-5
"""float32 over 200 steps, where the fused operator has sums or functions of its own; and heads
that sum over time, whose order the longest row decides."""


def values_of(reads: Input) -> Values:
    """Draws tokens, samples as loud as speech, or numbers as large as those of the scaling."""

    def draw_tokens(draw: np.random.Generator, shape: tuple[int, ...]) -> Array:
        assert isinstance(reads, TextInput)
        return draw.integers(0, reads.num_tokens, shape)

    def draw_samples(draw: np.random.Generator, shape: tuple[int, ...]) -> Array:
        assert isinstance(reads, AudioInput)
        return draw.normal(0, LOUDNESS, (*shape, reads.hop)).astype(np.float32)

    def draw_numbers(draw: np.random.Generator, shape: tuple[int, ...]) -> Array:
        assert isinstance(reads, NumericInput)
        mean, deviation = (reads.scaling.mean, reads.scaling.deviation) if reads.scaling else (0, 1)
        numbers = draw.normal(mean, deviation, (*shape, len(reads.features)))
        return numbers.astype(np.float32)

    match reads:
        case TextInput():
            return draw_tokens
        case AudioInput():
            return draw_samples
        case NumericInput():
            return draw_numbers


@dataclass(frozen=True, slots=True)
class Lowered:
    """A graph of any length and the one of single steps, as the bytes of their files."""

    spec: GraphSpec
    whole: bytes
    step: bytes | None


def verify_step(graphs: Lowered, values: Values) -> dict[str, float]:
    """A graph of single steps is the whole one; raises VerificationError if it is not."""
    if graphs.step is None:
        return {}
    draw, spec = np.random.default_rng(0), graphs.spec
    with refusals():
        step, whole = Runner(graphs.step, spec), Runner(graphs.whole, spec)
        seen = _step_claims(step, whole, values, draw=draw)
    hold(seen, {STEP_EQUALS_SEQUENCE: _ROUNDING, STEP_ALONE_EQUALS_COMPANY: 0.0})
    return seen


def keeps_every_bit(claims: Mapping[str, float]) -> bool:
    """Whether a graph of single steps may stand in for the whole one.

    One that rounds apart, as a GRU's does, would make an answer depend on how its sequence was
    cut, which the service promises that it does not; what it gains is a tenth to a third.
    """
    return claims.get(STEP_EQUALS_SEQUENCE) == 0.0


def verify_integers(graphs: Lowered, values: Values) -> dict[str, float]:
    """Graphs in integers depend on nothing that they must not, and give each other's bits."""
    draw, spec = np.random.default_rng(0), graphs.spec
    with refusals():
        runner = Runner(graphs.whole, spec)
        batch = random_rows(runner, values, draw, rows=ROWS, steps=STEPS)
        seen = {
            ALONE_EQUALS_COMPANY: from_company(runner, batch),
            PADDING_CHANGES_NOTHING: from_padding(runner, values, batch, draw=draw),
        }
        if spec.state:
            seen[CHUNKS_EQUAL_WHOLE] = from_chunks(runner, values, draw)
        if graphs.step is not None:
            seen |= _step_claims(Runner(graphs.step, spec), runner, values, draw=draw)
    seen = {f"{INT8}{claim}": worst for claim, worst in seen.items()}
    hold(seen, dict.fromkeys(seen, 0.0) | dict.fromkeys(_inexact(spec), _ROUNDING))
    return seen


def _step_claims(
    step: Runner, whole: Runner, values: Values, *, draw: np.random.Generator
) -> dict[str, float]:
    batch = random_rows(step, values, draw, rows=ROWS, steps=1)
    return {
        STEP_EQUALS_SEQUENCE: from_whole(step, whole, values, draw),
        STEP_ALONE_EQUALS_COMPANY: from_company(step, batch),
    }


def _inexact(spec: GraphSpec) -> Iterable[str]:
    """A graph that sees whole sequences has a float32 head that sums over time."""
    return () if spec.state else (f"{INT8}{ALONE_EQUALS_COMPANY}",)

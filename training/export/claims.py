"""What must never change an answer, measured: company, padding, and where a sequence is cut.

Differences are `|seen - expected| / max(1, |expected|)`, the largest over all valid steps, all
rows and the final states.
"""

from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from onnxruntime.capi.onnxruntime_pybind11_state import Fail, InvalidArgument, RuntimeException

from training.runner import Array, Ran, Runner, State

ALONE_EQUALS_COMPANY = "alone_equals_company"
CHUNKS_EQUAL_WHOLE = "chunks_equal_whole"
PADDING_CHANGES_NOTHING = "padding_changes_nothing"

ROWS, STEPS, CHAINED_STEPS = 32, 64, 200
COMPANIES = (1, 2, 5)
_CHUNKS = (1, 3, 16)
LOUDNESS = 0.1
"""Of speech, in samples: a full wave has 1."""

Values = Callable[[np.random.Generator, tuple[int, ...]], Array]
"""Draws inputs as the network may meet them, of a shape `(rows, steps)`."""


class VerificationError(Exception):
    """The graph is not the network, or an answer depends on what it must not."""


@dataclass(frozen=True, slots=True)
class Rows:
    """A ragged batch from some state; padding is zero."""

    inputs: Array
    lengths: NDArray[np.int32]
    state: State

    def pick(self, rows: Sequence[int]) -> "Rows":
        """Some of the rows, trimmed to the longest of them."""
        lengths = self.lengths[rows]
        inputs = self.inputs[rows, : lengths.max()]
        return Rows(inputs, lengths, tuple(part[:, rows] for part in self.state))

    def __len__(self) -> int:
        return len(self.lengths)


def hold(seen: Mapping[str, float], allowed: Mapping[str, float]) -> None:
    """Raise VerificationError for the first claim that is broken."""
    for claim, worst in seen.items():
        if not worst <= allowed[claim]:
            raise VerificationError(
                f"{claim}: differs by {worst:.2e}, allowed {allowed[claim]:.0e}"
            )


@contextmanager
def refusals() -> Generator[None]:
    """What ONNX Runtime does not take is no verified graph."""
    try:
        yield
    except (Fail, InvalidArgument, RuntimeException) as error:
        raise VerificationError(f"ONNX Runtime refuses the graph: {error}") from error


def random_rows(
    runner: Runner, values: Values, draw: np.random.Generator, *, rows: int, steps: int
) -> Rows:
    """A ragged batch from a random state; the first row is the longest."""
    lengths = draw.integers(1, steps + 1, rows).astype(np.int32)
    lengths[0] = steps
    inputs = values(draw, (rows, steps))
    inputs[valid(lengths, steps) == 0] = 0
    shapes = [part.shape for part in runner.initial_state(rows)]
    state = tuple(draw.normal(0, 0.5, shape).astype(np.float32) for shape in shapes)
    return Rows(inputs, lengths, state)


def from_company(runner: Runner, batch: Rows) -> float:
    """Each row alone, in a pair and among five, against all rows in one call."""
    together = run(runner, batch)
    worst = 0.0
    for size in COMPANIES:
        for rows in groups(len(batch), size):
            part = batch.pick(rows)
            weights = together.attention
            expected = Ran(
                together.outputs[rows],
                tuple(state[:, rows] for state in together.state),
                None if weights is None else weights[rows],
            )
            worst = max(worst, difference(run(runner, part), expected, part.lengths))
    return worst


def from_padding(
    runner: Runner, values: Values, batch: Rows, *, draw: np.random.Generator
) -> float:
    """Zeros in the padding against other tokens, or against what is not even a number."""
    garbage = values(draw, batch.inputs.shape[:2])
    if garbage.dtype == np.float32:
        garbage = np.full_like(garbage, np.nan)
    padding = valid(batch.lengths, batch.inputs.shape[1]) == 0
    inputs = batch.inputs.copy()
    inputs[padding] = garbage[padding]
    seen = run(runner, replace(batch, inputs=inputs))
    return difference(seen, run(runner, batch), batch.lengths)


def from_chunks(runner: Runner, values: Values, draw: np.random.Generator) -> float:
    """Step by step and chunk by chunk, for few rows and many, against one call."""
    worst = 0.0
    for rows in (*COMPANIES, ROWS):
        batch = random_rows(runner, values, draw, rows=rows, steps=STEPS)
        batch = replace(batch, lengths=np.full(rows, STEPS, np.int32))
        whole = run(runner, batch)
        for size in _CHUNKS:
            pieces, state = list[NDArray[np.float32]](), batch.state
            for start in range(0, STEPS, size):
                piece = runner.run(batch.inputs[:, start : start + size], state=state)
                pieces.append(piece.outputs)
                state = piece.state
            seen = Ran(np.concatenate(pieces, axis=1), state)
            worst = max(worst, difference(seen, whole, batch.lengths))
    return worst


def from_whole(step: Runner, whole: Runner, values: Values, draw: np.random.Generator) -> float:
    """A graph of single steps, one after the other, against one call of the other graph."""
    worst = 0.0
    for rows in (*COMPANIES, ROWS):
        batch = random_rows(whole, values, draw, rows=rows, steps=CHAINED_STEPS)
        batch = replace(batch, lengths=np.full(rows, CHAINED_STEPS, np.int32))
        worst = max(worst, difference(chain(step, batch), run(whole, batch), batch.lengths))
    return worst


def chain(step: Runner, batch: Rows) -> Ran:
    """The outputs of all steps, and the state after the last one; full rows."""
    pieces, state = list[NDArray[np.float32]](), batch.state
    for at in range(batch.inputs.shape[1]):
        piece = step.run(batch.inputs[:, at : at + 1], state=state)
        pieces.append(piece.outputs)
        state = piece.state
    return Ran(np.concatenate(pieces, axis=1), state)


def run(runner: Runner, batch: Rows) -> Ran:
    return runner.run(batch.inputs, batch.lengths, batch.state)


def difference(seen: Ran, expected: Ran, lengths: NDArray[np.int32]) -> float:
    pairs = [(seen.outputs, expected.outputs), *zip(seen.state, expected.state, strict=True)]
    if seen.outputs.ndim > 2:  # one output a step; without a time axis all of it counts
        pairs[0] = (_of_valid(seen.outputs, lengths), _of_valid(expected.outputs, lengths))
    if seen.attention is not None and expected.attention is not None:
        pairs.append((_of_valid(seen.attention, lengths), _of_valid(expected.attention, lengths)))
    return max(_largest(a, b) for a, b in pairs)


def _largest(seen: Array, expected: Array) -> float:
    if seen.shape != expected.shape or not np.isfinite(seen).all():
        return float("inf")
    return float((np.abs(seen - expected) / np.maximum(1.0, np.abs(expected))).max())


def _of_valid(outputs: Array, lengths: NDArray[np.int32]) -> Array:
    return outputs[valid(lengths, outputs.shape[1])]


def valid(lengths: NDArray[np.int32], steps: int) -> NDArray[np.bool_]:
    """Which steps are before their row's end, `[batch, time]`."""
    return np.arange(steps) < lengths[:, None]  # [batch, time]


def groups(count: int, size: int) -> Iterator[list[int]]:
    """The places of so many rows, `size` at a time."""
    for start in range(0, count, size):
        yield list(range(start, min(start + size, count)))

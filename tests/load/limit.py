"""What this machine can do at most on one thread: the same work on ONNX Runtime, without a server.

Batches are ideal: sorted by length where a sequence cannot be cut, and else full at every step,
because finished rows give way at once. Of several batch sizes the best counts.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.artifact.manifest import ForecastingOutput
from tests.load.reference import Reference, run_graph, zero_state
from tests.load.server import machine_cpu_seconds
from tests.load.workload import Part, chunk, sequences

_BATCH_SIZES = (16, 32, 64)
_CHUNK_STEPS = 16
_STEPS_ROWS = 64
_PASS = 20
"""Calls between two looks at the clock."""

Feeds = dict[str, NDArray[Any]]


@dataclass(frozen=True, slots=True)
class Limit:
    rate: float
    """Sequences, steps or tokens a second."""
    cpu_seconds: float
    """For one of them."""
    batch: int
    other_cores: float
    """What all other processes of the machine used meanwhile."""


def measure_limit(reference: Reference, part: Part, *, rows: int, seconds: float) -> Limit:
    """`rows` is the number of generating clients; predictions and steps choose their own."""
    match part:
        case "predict" if reference.manifest.causal:
            return _best(reference, _cut_sequences, seconds)
        case "predict":
            return _best(reference, _sorted_sequences, seconds)
        case "steps":
            return _steps(reference, _STEPS_ROWS, seconds)
        case "generate":
            return _generation(reference, rows, seconds)


def _best(
    reference: Reference, measure: Callable[[Reference, int, float], Limit], seconds: float
) -> Limit:
    share = seconds / len(_BATCH_SIZES)
    limits = [measure(reference, size, share) for size in _BATCH_SIZES]
    return max(limits, key=lambda limit: limit.rate)


def _sorted_sequences(reference: Reference, rows: int, seconds: float) -> Limit:
    """Whole sequences, batches of equal lengths as nearly as the sample allows."""
    inputs = sorted(sequences(reference.manifest), key=len)
    batches = [_pad(reference, inputs[i : i + rows]) for i in range(0, len(inputs), rows)]
    names = [_answer(reference)]

    def calls() -> Iterator[int]:
        while True:
            for feeds in batches:
                run_graph(reference.session, names, feeds)
                yield len(feeds[reference.manifest.graph.lengths])

    return _measure(calls(), rows, seconds, count=len(batches))


def _cut_sequences(reference: Reference, rows: int, seconds: float) -> Limit:
    """Every call goes to the nearest end among its rows; then others take the places."""
    graph = reference.manifest.graph
    inputs = sequences(reference.manifest)
    names = [_answer(reference), *(spec.output for spec in graph.state)]

    def calls() -> Iterator[int]:
        state = zero_state(reference.manifest, rows)
        left = [inputs[row % len(inputs)] for row in range(rows)]
        following = rows
        while True:
            steps = min(_CHUNK_STEPS, min(map(len, left)))
            values = np.stack([row[:steps] for row in left])
            feeds = _feeds(reference, values) | state
            _, *ends = run_graph(reference.session, names, feeds)
            state = {spec.input: end for spec, end in zip(graph.state, ends, strict=True)}
            finished = 0
            for row, rest in enumerate(left):
                left[row] = rest[steps:]
                if len(rest) == steps:
                    finished += 1
                    left[row] = inputs[following % len(inputs)]
                    following += 1
                    for spec in graph.state:
                        state[spec.input].swapaxes(0, spec.batch_axis)[row] = 0
            yield finished

    return _measure(calls(), rows, seconds, count=_PASS)


def _steps(reference: Reference, rows: int, seconds: float) -> Limit:
    """One step of `rows` sessions a call, the state of one call being the next one's."""
    rng = np.random.default_rng(0)
    values = np.stack([chunk(reference.manifest, 1, rng) for _ in range(rows)])
    return _measure(_stepping(reference, values, follow=False), rows, seconds, count=_PASS)


def _generation(reference: Reference, rows: int, seconds: float) -> Limit:
    """The likeliest token of each row is its next input."""
    rng = np.random.default_rng(0)
    values = np.stack([chunk(reference.manifest, 1, rng) for _ in range(rows)])
    return _measure(_stepping(reference, values, follow=True), rows, seconds, count=_PASS)


def _stepping(reference: Reference, values: NDArray[Any], *, follow: bool) -> Iterator[int]:
    graph = reference.manifest.graph
    names = [_answer(reference), *(spec.output for spec in graph.state)]
    feeds = _feeds(reference, values) | zero_state(reference.manifest, len(values))
    while True:
        answer, *ends = run_graph(reference.session, names, feeds)
        for spec, end in zip(graph.state, ends, strict=True):
            feeds[spec.input] = end
        if follow:
            feeds[graph.input.name] = answer.argmax(axis=-1)  # [rows, 1]
        yield len(values)


def _measure(calls: Iterator[int], rows: int, seconds: float, *, count: int) -> Limit:
    """In whole passes of `count` calls, after one pass that does not count."""
    for _ in range(count):
        next(calls)
    done, began = 0, time.perf_counter()
    cpu_began, machine_began = time.process_time(), machine_cpu_seconds()
    while True:
        done += sum(next(calls) for _ in range(count))
        passed = time.perf_counter() - began
        if passed >= seconds:
            cpu = time.process_time() - cpu_began
            other = max(0.0, machine_cpu_seconds() - machine_began - cpu)
            return Limit(done / passed, cpu / done, rows, other / passed)


def _pad(reference: Reference, inputs: list[NDArray[Any]]) -> Feeds:
    longest = max(map(len, inputs))
    values = np.zeros((len(inputs), longest, *inputs[0].shape[1:]), inputs[0].dtype)
    for row, steps in enumerate(inputs):
        values[row, : len(steps)] = steps
    feeds = _feeds(reference, values)
    feeds[reference.manifest.graph.lengths] = np.array([len(steps) for steps in inputs], np.int32)
    return feeds


def _feeds(reference: Reference, values: NDArray[Any]) -> Feeds:
    """`values [batch, time, ...]`, all rows full."""
    graph = reference.manifest.graph
    lengths = np.full(len(values), values.shape[1], np.int32)
    return {graph.input.name: values, graph.lengths: lengths}


def _answer(reference: Reference) -> str:
    output = reference.manifest.output
    return output.forecast if isinstance(output, ForecastingOutput) else output.logits

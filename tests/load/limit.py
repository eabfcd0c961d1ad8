"""What this machine can do at most: the same work on ONNX Runtime in process, without a server.

One process a core, one thread each. Batches are ideal: sorted by length, or full at every step
because finished rows give way at once; of all kinds and sizes the best counts.
"""

import multiprocessing
import os
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing.synchronize import Barrier
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray

from tests.load.reference import MODELS, Reference, run_graph, zero_state
from tests.load.server import machine_cpu_seconds
from tests.load.workload import NUM_CHARACTERS, Part, sequences

_CHUNK_STEPS = 16

Kind = Literal["sorted", "in flight", "one step", "greedy"]
Feeds = dict[str, NDArray[Any]]


@dataclass(frozen=True, slots=True)
class Batches:
    kind: Kind
    rows: int
    """Of one call, in each of the processes."""


CANDIDATES: dict[Part, tuple[Batches, ...]] = {
    "classify": (
        Batches("sorted", 8),
        Batches("sorted", 16),
        Batches("sorted", 32),
        Batches("in flight", 16),
        Batches("in flight", 32),
    ),
    "step": (Batches("one step", 64),),
    "generate": (Batches("greedy", 16), Batches("greedy", 32)),
}


@dataclass(frozen=True, slots=True)
class Limit:
    rate: float
    """Sequences, steps or tokens a second, of all processes together."""
    cpu_seconds: float
    """For one of them."""
    batches: Batches
    other_cores: float
    """What all other processes of the machine used meanwhile."""


class Limiter:
    """The processes, which wait for each other before each measurement."""

    def __init__(self, models: Path) -> None:
        self._models = models
        self._num_processes = len(os.sched_getaffinity(0))
        context = multiprocessing.get_context("spawn")
        barrier = context.Barrier(self._num_processes)
        self._pool = ProcessPoolExecutor(
            self._num_processes, context, initializer=_begin, initargs=(barrier,)
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._pool.shutdown()

    def measure(self, part: Part, batches: Batches, *, seconds: float) -> Limit:
        jobs = [
            self._pool.submit(_measure, self._models, part, batches, seconds)
            for _ in range(self._num_processes)
        ]
        done = [job.result() for job in jobs]
        return Limit(
            rate=sum(each.rows / each.seconds for each in done),
            cpu_seconds=sum(each.cpu for each in done) / sum(each.rows for each in done),
            batches=batches,
            other_cores=max(
                0.0, max(e.machine for e in done) - sum(e.cpu / e.seconds for e in done)
            ),
        )


@dataclass(frozen=True, slots=True)
class _Done:
    rows: int
    seconds: float
    cpu: float
    machine: float
    """Cores that the whole machine used meanwhile."""


_barrier: Barrier


def _begin(barrier: Barrier) -> None:
    global _barrier
    _barrier = barrier


def _measure(models: Path, part: Part, batches: Batches, seconds: float) -> _Done:
    """After a turn that does not count."""
    reference = Reference(models, MODELS[part])
    turns = _turns(reference, batches)
    next(turns)
    _barrier.wait()
    done, began = 0, time.perf_counter()
    cpu_began, machine_began = time.process_time(), machine_cpu_seconds()
    while True:
        done += next(turns)
        passed = time.perf_counter() - began
        if passed >= seconds:
            cpu = time.process_time() - cpu_began
            return _Done(done, passed, cpu, (machine_cpu_seconds() - machine_began) / passed)


def _turns(reference: Reference, batches: Batches) -> Iterator[int]:
    """Works at each turn, and says how many rows it finished."""
    match batches.kind:
        case "sorted":
            return _sorted(reference, batches.rows)
        case "in flight":
            return _in_flight(reference, batches.rows)
        case "one step":
            return _stepping(reference, batches.rows, follow=False)
        case "greedy":
            return _stepping(reference, batches.rows, follow=True)


def _sorted(reference: Reference, rows: int) -> Iterator[int]:
    """Whole sequences, batches of equal lengths as nearly as the sample allows."""
    inputs = sorted(sequences(), key=len)
    batches = [_pad(reference, inputs[i : i + rows]) for i in range(0, len(inputs), rows)]
    while True:
        for feeds in batches:
            run_graph(reference.session, [reference.answer_name], feeds)
        yield len(inputs)


def _in_flight(reference: Reference, rows: int) -> Iterator[int]:
    """Every call goes to the nearest end among its rows; then others take the places."""
    graph = reference.graph
    inputs = sequences()
    names = [reference.answer_name, *(spec.output for spec in graph.state)]
    state = zero_state(reference.graph, rows)
    left = [inputs[row % len(inputs)] for row in range(rows)]
    following = rows
    while True:
        steps = min(_CHUNK_STEPS, min(map(len, left)))
        feeds = _feeds(reference, np.stack([row[:steps] for row in left])) | state
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


def _stepping(reference: Reference, rows: int, *, follow: bool) -> Iterator[int]:
    """One step of `rows` a call; with `follow` the likeliest token is a row's next one."""
    graph = reference.graph
    names = [reference.answer_name, *(spec.output for spec in graph.state)]
    tokens = np.random.default_rng(0).integers(0, NUM_CHARACTERS, (rows, 1))
    feeds = _feeds(reference, tokens) | zero_state(reference.graph, rows)
    while True:
        answer, *ends = run_graph(reference.session, names, feeds)
        for spec, end in zip(graph.state, ends, strict=True):
            feeds[spec.input] = end
        if follow:
            feeds[graph.input.name] = answer.argmax(axis=-1)  # [rows, 1]
        yield rows


def _pad(reference: Reference, inputs: list[NDArray[Any]]) -> Feeds:
    longest = max(map(len, inputs))
    tokens = np.zeros((len(inputs), longest), np.int64)
    for row, steps in enumerate(inputs):
        tokens[row, : len(steps)] = steps
    feeds = _feeds(reference, tokens) | zero_state(reference.graph, len(inputs))
    feeds[reference.graph.lengths] = np.array([len(steps) for steps in inputs], np.int32)
    return feeds


def _feeds(reference: Reference, tokens: NDArray[Any]) -> Feeds:
    """`tokens [batch, time]`, all rows full."""
    graph = reference.graph
    lengths = np.full(len(tokens), tokens.shape[1], np.int32)
    return {graph.input.name: tokens, graph.lengths: lengths}

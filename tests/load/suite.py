"""Rounds of measurements: every load once, the limit beside it, answers checked; then medians."""

import asyncio
import itertools
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from statistics import median
from typing import TypeVar

import numpy as np
import uvloop
from numpy.typing import NDArray

from tests.load.drive import Load, Measured, drive
from tests.load.limit import Limit, measure_limit
from tests.load.reference import Reference
from tests.load.server import Server
from tests.load.workload import Part, Work, generate_work, parts_of, predict_work, steps_work

_session_groups = itertools.count()
_OPEN_LANES = 256
_TRIES = 3

M = TypeVar("M", "Figures", Limit)


@dataclass(frozen=True, slots=True)
class Options:
    seconds: float = 5.0
    warm_seconds: float = 1.0
    rounds: int = 3
    parts: tuple[Part, ...] = ("predict", "steps", "generate")
    models: tuple[str, ...] = ()
    """Names; empty is all that there are."""
    clients: tuple[int, ...] = (1, 32, 128)
    """Closed loops of predictions."""
    shares: tuple[float, ...] = (0.5, 0.8)
    """Open loops, as shares of the best closed loop of the same round."""
    sessions: int = 64
    streams: int = 32
    tokens: int = 128
    sampled: bool = False
    """Whether generation draws its tokens; it takes the likeliest otherwise."""
    quiet_cores: float = math.inf
    """A measurement in which other processes used more is made again, a few times."""


@dataclass(frozen=True, slots=True)
class Case:
    """One load on one model, by the name that the table shows."""

    model: str
    part: Part
    load: str


@dataclass(frozen=True, slots=True)
class Figures:
    """Of one measurement, or, field by field, the medians of several."""

    rate: float
    """Sequences, steps or tokens a second."""
    asked_rate: float
    """What the open loop asked for; 0 in the closed one, which asks for all it can get."""
    p50_ms: float
    p95_ms: float
    p99_ms: float
    first_p50_ms: float
    first_p99_ms: float
    late_p99_ms: float
    cpu_us: float
    """Server's CPU time for a sequence, step or token."""
    server_cores: float
    client_cores: float
    other_cores: float
    rows_a_call: float
    """Mean rows of the runtime's calls."""
    limit_rate: float
    limit_share: float
    """Rate as a share of the limit's."""
    cpu_times: float
    """The server's CPU time as a multiple of the limit's."""
    answers: float
    checked: float


@dataclass(frozen=True, slots=True)
class Result:
    case: Case
    median: Figures
    runs: tuple[Figures, ...]


def run_suite(server: Server, models: Path, options: Options) -> list[Result]:
    """Raises LoadFailed or WrongAnswer at the first answer that is an error, or wrong."""
    runs: dict[Case, list[Figures]] = {}
    for _ in range(options.rounds):
        for case, figures in _round(server, models, options):
            runs.setdefault(case, []).append(figures)
    return [Result(case, _median(figures), tuple(figures)) for case, figures in runs.items()]


def _round(server: Server, models: Path, options: Options) -> Iterator[tuple[Case, Figures]]:
    names = options.models or tuple(sorted(p.name for p in models.iterdir() if p.is_dir()))
    for name in names:
        reference = Reference(models, name)
        for part in parts_of(reference.manifest):
            if part in options.parts:
                yield from _part(server, reference, part, options)


def _part(
    server: Server, reference: Reference, part: Part, options: Options
) -> Iterator[tuple[Case, Figures]]:
    limit = _quietest(
        lambda: measure_limit(
            reference, part, rows=options.streams, seconds=min(options.seconds, 3.0)
        ),
        options.quiet_cores,
    )

    def figures(lanes: int, rate: float | None = None) -> Figures:
        load = Load(options.seconds, options.warm_seconds, rate)
        return _quietest(
            lambda: _measure(
                server, reference, _work(reference, part, lanes, options), load, limit
            ),
            options.quiet_cores,
        )

    best = 0.0
    for lanes in options.clients if part == "predict" else (_lanes(part, options),):
        closed = figures(lanes)
        best = max(best, closed.rate)
        yield Case(reference.manifest.name, part, f"closed, {_count(lanes, part)}"), closed
    units = options.tokens if part == "generate" else 1  # of one request
    lanes = 4 * options.streams if part == "generate" else _OPEN_LANES
    for share in options.shares:
        case = Case(reference.manifest.name, part, f"open, {share:.0%} of that")
        yield case, figures(lanes, best * share / units)


def _quietest(measure: Callable[[], M], quiet_cores: float) -> M:
    """The first measurement on a quiet machine, or the quietest of a few."""
    tries: list[M] = []
    while len(tries) < _TRIES and not (tries and tries[-1].other_cores <= quiet_cores):
        tries.append(measure())
    return min(tries, key=lambda measured: measured.other_cores)


def _lanes(part: Part, options: Options) -> int:
    return options.sessions if part == "steps" else options.streams


def _count(lanes: int, part: Part) -> str:
    noun = {"predict": "client", "steps": "session", "generate": "stream"}[part]
    return f"{lanes} {noun}{'s' if lanes > 1 else ''}"


def _work(reference: Reference, part: Part, lanes: int, options: Options) -> Work:
    match part:
        case "predict":
            return predict_work(reference.manifest, lanes)
        case "steps":
            prefix = f"load-{next(_session_groups)}"
            return steps_work(reference.manifest, lanes, prefix)
        case "generate":
            return generate_work(
                reference.manifest, lanes, num_tokens=options.tokens, sampled=options.sampled
            )


def _measure(server: Server, reference: Reference, work: Work, load: Load, limit: Limit) -> Figures:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        measured = runner.run(drive(server, work, load))
    checked = sum(reference.check(work.part, answers) for answers in measured.kept)
    return _figures(work, measured, load, limit=limit, checked=checked)


def _figures(work: Work, measured: Measured, load: Load, *, limit: Limit, checked: int) -> Figures:
    generates = work.part == "generate"
    units = measured.tokens if generates else len(measured.latencies)
    rate = units / measured.seconds
    asked_rate = (load.rate or 0.0) * (work.lanes[0][0].num_tokens if generates else 1)
    p50, p95, p99 = _milliseconds(measured.latencies, 50, 95, 99)
    first_p50, first_p99 = _milliseconds(measured.first, 50, 99)
    (late_p99,) = _milliseconds(measured.lateness, 99)
    cpu = measured.server_cpu / units if units else 0.0
    return Figures(
        rate=rate,
        asked_rate=asked_rate,
        p50_ms=p50,
        p95_ms=p95,
        p99_ms=p99,
        first_p50_ms=first_p50,
        first_p99_ms=first_p99,
        late_p99_ms=late_p99,
        cpu_us=cpu * 1e6,
        server_cores=measured.server_cpu / measured.seconds,
        client_cores=measured.client_cpu / measured.seconds,
        other_cores=measured.other_cpu / measured.seconds,
        rows_a_call=measured.rows_a_call,
        limit_rate=limit.rate,
        limit_share=rate / limit.rate,
        cpu_times=cpu / limit.cpu_seconds,
        answers=len(measured.latencies),
        checked=checked,
    )


def _milliseconds(seconds: NDArray[np.float64], *percentiles: float) -> list[float]:
    if not len(seconds):
        return [0.0 for _ in percentiles]
    return [float(value) * 1e3 for value in np.percentile(seconds, percentiles)]


def _median(runs: list[Figures]) -> Figures:
    return Figures(
        **{f.name: median(getattr(run, f.name) for run in runs) for f in fields(Figures)}
    )

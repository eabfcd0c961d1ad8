"""What was measured, by round, contender and case; medians, and ratios within one round."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from statistics import median

import numpy as np
from numpy.typing import NDArray

from tests.load.drive import Load, Measured
from tests.load.workload import Part

LIMIT = "limit"
"""The name under which the limit's figures stand."""


@dataclass(frozen=True, slots=True)
class Case:
    """One load of one kind of work, by the name that the tables show."""

    part: Part
    load: str


@dataclass(frozen=True, slots=True)
class Figures:
    """Of one measurement."""

    rate: float
    """Sequences, steps or tokens a second."""
    cpu_us: float
    """Processor time of the server for one of them."""
    p50_ms: float = 0.0
    p95_ms: float = 0.0
    p99_ms: float = 0.0
    first_p50_ms: float = 0.0
    first_p95_ms: float = 0.0
    asked_rate: float = 0.0
    """What the open loop asked for; 0 in the closed one, which asks for all it can get."""
    server_cores: float = 0.0
    client_cores: float = 0.0
    other_cores: float = 0.0
    """What everybody else used meanwhile."""
    answers: int = 0
    checked: int = 0
    """Rows of them that were compared with the reference."""
    note: str = ""


def figures_of(measured: Measured, load: Load, *, checked: int) -> Figures:
    p50, p95, p99 = _milliseconds(measured.latencies, 50, 95, 99)
    first_p50, first_p95 = _milliseconds(measured.first, 50, 95)
    return Figures(
        rate=measured.units / measured.seconds,
        cpu_us=measured.server_cpu / max(1, measured.units) * 1e6,
        p50_ms=p50,
        p95_ms=p95,
        p99_ms=p99,
        first_p50_ms=first_p50,
        first_p95_ms=first_p95,
        asked_rate=load.rate or 0.0,
        server_cores=measured.server_cpu / measured.seconds,
        client_cores=measured.client_cpu / measured.seconds,
        other_cores=measured.other_cpu / measured.seconds,
        answers=len(measured.latencies),
        checked=checked,
    )


@dataclass(frozen=True, slots=True)
class Run:
    round: int
    contender: str
    case: Case
    figures: Figures


Value = Callable[[Figures], float]


@dataclass(frozen=True, slots=True)
class Rest:
    """How a server of ours is without any work; medians of its starts."""

    contender: str
    start_seconds: tuple[float, ...] = ()
    """From the command to ready, with the published models."""
    idle_cores: float | None = None
    """Of a server with `idle_models` loaded and nothing to do."""
    idle_models: int = 0


@dataclass(slots=True)
class Results:
    runs: list[Run] = field(default_factory=list[Run])
    rests: list[Rest] = field(default_factory=list[Rest])
    absent: list[str] = field(default_factory=list[str])
    """What was not measured, and why."""

    def contenders(self) -> list[str]:
        """In the order in which they came; the limit is one of them."""
        return list(dict.fromkeys(run.contender for run in self.runs))

    def cases(self, part: Part) -> list[Case]:
        return list(dict.fromkeys(run.case for run in self.runs if run.case.part == part))

    def of(self, contender: str, case: Case) -> dict[int, Figures]:
        """By round."""
        return {
            run.round: run.figures
            for run in self.runs
            if run.contender == contender and run.case == case
        }

    def median(self, contender: str, case: Case, value: Value) -> float | None:
        return _median(map(value, self.of(contender, case).values()))

    def ratio(self, one: tuple[str, Case], other: tuple[str, Case], value: Value) -> float | None:
        """The median of `one / other`, each of one round."""
        ours, theirs = self.of(*one), self.of(*other)
        rounds = sorted(ours.keys() & theirs.keys())
        return _median(value(ours[r]) / value(theirs[r]) for r in rounds if value(theirs[r]))

    def start_seconds(self, contender: str) -> float | None:
        return _median(s for r in self.rests if r.contender == contender for s in r.start_seconds)

    def idle_cores(self, contender: str) -> float | None:
        cores = [rest.idle_cores for rest in self.rests if rest.contender == contender]
        return _median(c for c in cores if c is not None)


def _median(values: Iterable[float]) -> float | None:
    found = list(values)
    return median(found) if found else None


def _milliseconds(seconds: NDArray[np.float64], *percentiles: float) -> list[float]:
    if not len(seconds):
        return [0.0 for _ in percentiles]
    return [float(value) * 1e3 for value in np.percentile(seconds, percentiles)]

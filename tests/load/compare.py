"""Rounds in which contenders take turns: known answers first, then every load, checked again."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

import uvloop

from tests.load.contenders import Contender
from tests.load.drive import Load, LoadFailed, drive, once
from tests.load.figures import LIMIT, Case, Figures, Results, Run, figures_of
from tests.load.limit import CANDIDATES, Limit, Limiter
from tests.load.reference import MODELS, Reference, WrongAnswer, check
from tests.load.server import Server, ServerFailed
from tests.load.wires import OurWire
from tests.load.workload import (
    Part,
    Work,
    bulk_work,
    classify_work,
    generate_work,
    socket_work,
    step_work,
)

HTTP = Case("step", "64 sessions")
BULK = Case("step", "64 rows in bulk")
BULK_2 = Case("step", "2 x 64 rows in bulk")
SOCKETS = Case("step", "64 sockets")
STREAMS = Case("generate", "32 streams")
_SESSIONS, _STREAMS, _OPEN_LANES = 64, 32, 256
_SAMPLE = 24
"""Lanes, and requests of each, that are asked before the clock starts."""
_TRIES = 3

M = TypeVar("M", Figures, Limit)
Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Options:
    seconds: float = 2.5
    warm_seconds: float = 0.7
    rounds: int = 3
    parts: tuple[Part, ...] = ("classify", "step", "generate")
    clients: tuple[int, ...] = (1, 2, 4, 8, 16, 32, 64, 128, 256)
    """Closed loops of classifications."""
    shares: tuple[float, ...] = (0.5, 0.8)
    """Open loops, as shares of the best closed one of the same round."""
    tokens: int = 128
    """Of each stream."""
    quiet_cores: float = math.inf
    """A measurement in which other processes used more is made again, a few times."""


def closed(clients: int) -> Case:
    return Case("classify", f"{clients} client{'s' if clients > 1 else ''}")


def opened(share: float) -> Case:
    return Case("classify", f"open, {share:.0%}")


def compare(
    models: Path, contenders: Sequence[Contender], options: Options, *, results: Results, say: Say
) -> None:
    """Adds to `results`, round by round; what fails or answers wrongly stands in `absent`."""
    with Limiter(models) as limiter:
        for number in range(options.rounds):
            for part in options.parts:
                round_ = _Round(number, models, part, options=options, results=results, say=say)
                round_.limit(limiter)
                for contender in contenders:
                    round_.turn(contender)


@dataclass(frozen=True, slots=True)
class _Turn:
    """A contender that has been started."""

    server: Server
    contender: Contender
    reference: Reference


class _Round:
    """One kind of work, once."""

    def __init__(
        self,
        number: int,
        models: Path,
        part: Part,
        *,
        options: Options,
        results: Results,
        say: Say,
    ) -> None:
        self._number, self._models, self._part = number, models, part
        self._options, self._results, self._say = options, results, say

    def limit(self, limiter: Limiter) -> None:
        seconds = min(1.0, self._options.seconds)
        tries = [
            self._quietest(lambda b=b: limiter.measure(self._part, b, seconds=seconds))
            for b in CANDIDATES[self._part]
        ]
        best = max(tries, key=lambda limit: limit.rate)
        figures = Figures(
            rate=best.rate,
            cpu_us=best.cpu_seconds * 1e6,
            other_cores=best.other_cores,
            note=f"{best.batches.kind}, {best.batches.rows} rows",
        )
        self._add(LIMIT, Case(self._part, LIMIT), figures)

    def turn(self, contender: Contender) -> None:
        reference = Reference(self._models, MODELS[self._part], contender.precision)
        try:
            with Server(contender.launch(self._models, self._part)) as server:
                turn = _Turn(server, contender, reference)
                self._check_known_answers(turn)
                self._loads(turn)
        except (LoadFailed, WrongAnswer, ServerFailed) as error:
            self._miss(contender, self._part, error)

    def _loads(self, turn: _Turn) -> None:
        match self._part:
            case "classify":
                self._classify(turn)
            case "step":
                for case, work in _step_works(turn.contender):
                    self._measure(turn, case, work)
            case "generate":
                tokens = self._options.tokens
                work = generate_work(turn.contender.wire, _STREAMS, num_tokens=tokens)
                self._measure(turn, STREAMS, work)

    def _classify(self, turn: _Turn) -> None:
        wire, best = turn.contender.wire, 0.0
        for clients in self._options.clients:
            rate = self._measure(turn, closed(clients), classify_work(wire, clients))
            best = max(best, rate)
        for share in self._options.shares if best else ():
            work = classify_work(wire, _OPEN_LANES)
            self._measure(turn, opened(share), work, rate=best * share)

    def _measure(self, turn: _Turn, case: Case, work: Work, *, rate: float | None = None) -> float:
        """The rate that came of it; 0 where an answer was an error, or wrong."""
        # A stream takes long, and only those that end within the time have a latency.
        times = 2 if case.part == "generate" else 1
        load = Load(times * self._options.seconds, times * self._options.warm_seconds, rate)

        def measure() -> Figures:
            measured = uvloop.run(drive(turn.server, work, load))
            checked = check(turn.reference, work, measured.kept)
            return figures_of(measured, load, checked=checked)

        try:
            figures = self._quietest(measure)
        except (LoadFailed, WrongAnswer) as error:
            self._miss(turn.contender, case.load, error)
            return 0.0
        self._add(turn.contender.name, case, figures)
        return figures.rate

    def _check_known_answers(self, turn: _Turn) -> None:
        """Side by side, as in the load: batches, states and streams must not mix."""
        wire = turn.contender.wire
        match self._part:
            case "classify":
                work = classify_work(wire, _SAMPLE)
            case "step":
                work = step_work(wire, _SAMPLE)
            case "generate":
                work = generate_work(wire, _SAMPLE, num_tokens=_SAMPLE)
        few = replace(work, lanes=tuple(lane[:_SAMPLE] for lane in work.lanes))
        check(turn.reference, few, uvloop.run(once(turn.server.port, few)))

    def _quietest(self, measure: Callable[[], M]) -> M:
        """The first measurement on a quiet machine, or the quietest of a few."""
        tries: list[M] = []
        while len(tries) < _TRIES:
            tries.append(measure())
            if tries[-1].other_cores <= self._options.quiet_cores:
                break
        return min(tries, key=lambda measured: measured.other_cores)

    def _add(self, contender: str, case: Case, figures: Figures) -> None:
        self._results.runs.append(Run(self._number, contender, case, figures))
        self._say(
            f"{self._number} {contender:14} {case.part:8} {case.load:19} "
            f"{figures.rate:9,.0f}/s p50 {figures.p50_ms:7.2f} p99 {figures.p99_ms:7.2f} "
            f"first {figures.first_p50_ms:7.2f} ms, {figures.cpu_us:7.1f} us, cores: "
            f"server {figures.server_cores:.2f} client {figures.client_cores:.2f} "
            f"other {figures.other_cores:.2f} {figures.note}"
        )

    def _miss(self, contender: Contender, what: str, error: Exception) -> None:
        reason = f"{contender.name}, {what}: {type(error).__name__}: {error}"
        self._results.absent.append(reason)
        self._say(f"{self._number} {reason}")


def _step_works(contender: Contender) -> Iterator[tuple[Case, Work]]:
    wire = contender.wire
    yield HTTP, step_work(wire, _SESSIONS)
    if isinstance(wire, OurWire):
        yield BULK, bulk_work(wire, 1, rows=_SESSIONS)
        yield BULK_2, bulk_work(wire, 2, rows=_SESSIONS)
        yield SOCKETS, socket_work(wire, _SESSIONS)

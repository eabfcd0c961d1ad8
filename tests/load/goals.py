"""The figures that the service is to reach, each as a ratio of what one run measured."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from tests.load.compare import BULK, BULK_2, HTTP, SOCKETS, STREAMS, closed, opened
from tests.load.contenders import Contender
from tests.load.figures import LIMIT, Case, Figures, Results


@dataclass(frozen=True, slots=True)
class Goal:
    """`measured` gives the figure of one of our servers, or None where it was not measured."""

    what: str
    measured: Callable[[Results, str], float | None]
    bound: float
    at_least: bool = True
    form: str = "{:.2f} x"

    def line(self, results: Results, name: str) -> tuple[str, str, str, str]:
        """What, goal, figure, whether it is met."""
        sign = ">=" if self.at_least else "<="
        goal = f"{sign} {self.form.format(self.bound)}"
        value = self.measured(results, name)
        if value is None:
            return self.what, goal, "not measured", ""
        met = value >= self.bound if self.at_least else value <= self.bound
        return self.what, goal, self.form.format(value), "met" if met else "**missed**"


def goals_of(contender: Contender, *, fp32: str) -> list[Goal]:
    """`fp32` names the server of ours that int8 is held against."""
    return [*(_int8(fp32) if contender.is_int8 else _fp32()), *_resting()]


def _fp32() -> Iterator[Goal]:
    for clients in (32, 128):
        case = closed(clients)
        what = f"classify, {clients} clients, sequences/s:"
        limit = Case("classify", LIMIT)
        yield Goal(f"{what} of the limit", _across(case, LIMIT, limit, _rate), 0.75)
        for peer, bound in (("handmade", 1.6), ("triton", 1.6), ("plain", 2.8)):
            yield Goal(f"{what} against {peer}", _against(peer, case, _rate), bound)
        yield Goal(
            f"classify, {clients} clients, CPU a sequence: of the limit's",
            _across(case, LIMIT, limit, _cpu),
            1.3,
            at_least=False,
        )
    one = closed(1)
    yield Goal(
        "classify, one client, p50: of plain's", _against("plain", one, _p50), 0.9, at_least=False
    )
    yield Goal(
        "classify, open loop at 80 % of our most, p99: of its p50",
        _of_itself(opened(0.8), _p99_of_p50),
        3.0,
        at_least=False,
    )
    yield Goal(
        "64 sessions over HTTP, steps/s: against triton", _against("triton", HTTP, _rate), 1.2
    )
    yield from _many_steps(3.0)
    yield from _generation(2.0)


def _int8(fp32: str) -> Iterator[Goal]:
    for clients in (32, 128):
        what = f"classify, {clients} clients, sequences/s: against our fp32"
        yield Goal(what, _against(fp32, closed(clients), _rate), 2.0)
    yield Goal(
        "classify, one client, p50: of plain's",
        _against("plain", closed(1), _p50),
        0.5,
        at_least=False,
    )
    yield from _many_steps(4.0)
    yield from _generation(2.5)


def _many_steps(bound: float) -> Iterator[Goal]:
    for case in (SOCKETS, BULK, BULK_2):
        what = f"{case.load}, steps/s: against triton over HTTP"
        yield Goal(what, _across(case, "triton", HTTP, _rate), bound)


def _generation(bound: float) -> Iterator[Goal]:
    yield Goal(
        "generation, 32 clients x 128 tokens, tokens/s: against handmade",
        _against("handmade", STREAMS, _rate),
        bound,
    )
    yield Goal(
        "the same, first token's p50: of handmade's",
        _against("handmade", STREAMS, _first_p50),
        1.0,
        at_least=False,
    )


def _resting() -> Iterator[Goal]:
    yield Goal(
        "idle server with 10 models, share of a core",
        lambda results, name: results.idle_cores(name),
        0.01,
        at_least=False,
        form="{:.2%}",
    )
    yield Goal(
        "start to ready with the published models",
        lambda results, name: results.start_seconds(name),
        2.0,
        at_least=False,
        form="{:.2f} s",
    )


def _against(
    peer: str, case: Case, value: Callable[[Figures], float]
) -> Callable[[Results, str], float | None]:
    return _across(case, peer, case, value)


def _across(
    case: Case, peer: str, other: Case, value: Callable[[Figures], float]
) -> Callable[[Results, str], float | None]:
    return lambda results, name: results.ratio((name, case), (peer, other), value)


def _of_itself(
    case: Case, value: Callable[[Figures], float]
) -> Callable[[Results, str], float | None]:
    return lambda results, name: results.median(name, case, value)


def _rate(figures: Figures) -> float:
    return figures.rate


def _cpu(figures: Figures) -> float:
    return figures.cpu_us


def _p50(figures: Figures) -> float:
    return figures.p50_ms


def _first_p50(figures: Figures) -> float:
    return figures.first_p50_ms


def _p99_of_p50(figures: Figures) -> float:
    return figures.p99_ms / figures.p50_ms if figures.p50_ms else 0.0

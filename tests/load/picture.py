"""Throughput against latency: one curve a server, a point for each number of clients."""

from collections.abc import Callable, Iterator
from pathlib import Path

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tests.load.figures import LIMIT, Case, Figures, Results

matplotlib.use("Agg")

_COLOURS = {
    "plain": "#8c8c8c",
    "handmade": "#c2882b",
    "triton": "#76a832",
    "ours": "#1f5fa8",
    "ours int8": "#b0307a",
}
_MORE = ("#3f9fb8", "#7a5fc0", "#5a7a3a")
_TEXT = "#333333"


def draw(results: Results, path: Path) -> None:
    """Medians of all rounds, p50 on the left and p99 on the right."""
    figure = Figure(figsize=(10, 4.6), layout="constrained")
    left, right = figure.subplots(1, 2, sharex=True, sharey=True)
    _panel(left, results, "median latency", lambda figures: figures.p50_ms)
    _panel(right, results, "99th percentile", lambda figures: figures.p99_ms)
    left.set_ylabel("ms")
    left.legend(loc="upper left", frameon=False, fontsize=9)
    figure.suptitle(
        "Classifying ragged sequences by ever more clients, server and clients on two cores",
        fontsize=11,
        color=_TEXT,
    )
    figure.savefig(path, dpi=150)


def _panel(axes: Axes, results: Results, title: str, value: Callable[[Figures], float]) -> None:
    more = iter(_MORE)
    for contender in results.contenders():
        points = list(_points(results, contender, value))
        if points:
            rates, latencies = zip(*points, strict=True)
            colour = _COLOURS.get(contender) or next(more, _TEXT)
            axes.plot(rates, latencies, "o-", color=colour, ms=4, lw=1.6, label=contender)
    limit = results.median(LIMIT, Case("classify", LIMIT), lambda figures: figures.rate)
    if limit is not None:
        axes.axvline(limit, color=_TEXT, ls="--", lw=1)
        note = "fp32 in process, no server"
        place = axes.get_xaxis_transform()
        axes.text(limit, 0.02, f" {note}", transform=place, rotation=90, fontsize=8, ha="right")
    axes.set_title(title, fontsize=10, color=_TEXT)
    axes.set_xlabel("sequences a second")
    axes.set_yscale("log")
    axes.set_xlim(left=0)
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)


def _points(
    results: Results, contender: str, value: Callable[[Figures], float]
) -> Iterator[tuple[float, float]]:
    """Of the closed loops, in the order of their clients."""
    for case in results.cases("classify"):
        if case.load.endswith(("client", "clients")):
            rate = results.median(contender, case, lambda figures: figures.rate)
            latency = results.median(contender, case, value)
            if rate is not None and latency is not None:
                yield rate, latency

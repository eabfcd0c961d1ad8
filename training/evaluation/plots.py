"""The card's pictures, as bytes of PNG files; drawn without a display or global state."""

from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from itertools import pairwise

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray

_DOTS_PER_INCH = 100
_READ_ON_THE_WAY = 5
_BLUE, _ORANGE, _GREY = "#2563a8", "#d9731a", "#8a8f98"


@dataclass(frozen=True, slots=True)
class Curve:
    """One figure over the epochs."""

    name: str
    epochs: Sequence[int]
    values: Sequence[float]


@dataclass(frozen=True, slots=True)
class Forecast:
    """One forecast of one variable, with what was before it and what came."""

    history: NDArray[np.float32]
    forecast: NDArray[np.float32]
    came: NDArray[np.float32]
    band: tuple[NDArray[np.float32], NDArray[np.float32]] | None = None
    """The lowest and the highest quantile."""
    title: str = ""


@dataclass(frozen=True, slots=True)
class Drawn:
    """A digit, and the label that each point was read as."""

    points: NDArray[np.float32]
    """`[time, 3]`: x, y, and whether a stroke begins."""
    read: Sequence[str]
    label: str


@dataclass(frozen=True, slots=True)
class Look:
    """One sequence, and where a network looked to answer."""

    tokens: Sequence[str]
    weights: NDArray[np.float32]
    """`[time, heads]`"""
    answer: str


@dataclass(frozen=True, slots=True)
class Alignment:
    """Where the source was looked at as each token of a target was written."""

    weights: NDArray[np.float32]
    """`[time, source_time]`"""
    source: Sequence[str]
    target: Sequence[str]


def curve_picture(curves: Sequence[Curve]) -> bytes:
    figure = Figure(figsize=(6.4, 3.4), layout="constrained")
    axes = figure.subplots()
    for curve, colour in zip(curves, (_BLUE, _ORANGE, _GREY), strict=False):
        axes.plot(
            curve.epochs, curve.values, color=colour, label=curve.name.replace("_", " "), marker="."
        )
    axes.set_xlabel("epoch")
    axes.set_ylabel("loss")
    axes.legend(frameon=False)
    return _png(figure)


def surprise_picture(tokens: Sequence[str], nats: NDArray[np.float64]) -> bytes:
    """A bar for every token, with the token below it; words stand upright."""
    figure = Figure(figsize=(10, 2.6), layout="constrained")
    axes = figure.subplots()
    axes.bar(range(len(tokens)), nats, color=_BLUE)
    shown = [{"\n": "↵", " ": "␣"}.get(token, token) for token in tokens]
    upright = 90 if any(len(token) > 1 for token in tokens) else 0
    axes.set_xticks(
        range(len(tokens)), shown, fontfamily="DejaVu Sans Mono", fontsize=8, rotation=upright
    )
    axes.set_xlim(-0.7, len(tokens) - 0.3)
    axes.set_ylabel("nats")
    return _png(figure)


def confusion_picture(counts: NDArray[np.int64], labels: Sequence[str]) -> bytes:
    side = 2.4 + 0.4 * max(len(labels), 6)
    figure = Figure(figsize=(side, side - 0.6), layout="constrained")
    _draw_confusion(figure.subplots(), counts, labels)
    return _png(figure)


def strokes_picture(
    counts: NDArray[np.int64], labels: Sequence[str], drawn: Sequence[Drawn]
) -> bytes:
    """The confusion of all digits, and some of them as they were drawn and read on the way."""
    figure = Figure(figsize=(12, 5.4), layout="constrained")
    grid = figure.add_gridspec(2, 4)
    _draw_confusion(figure.add_subplot(grid[:, :2]), counts, labels)
    for place, one in enumerate(drawn):
        axes = figure.add_subplot(grid[place % 2, 2 + place // 2])
        begins = [*np.flatnonzero(one.points[:, 2] > 0), len(one.points)]
        for begin, end in pairwise(begins):
            axes.plot(*one.points[begin:end, :2].T, color=_BLUE)
        for share in range(1, _READ_ON_THE_WAY + 1):
            at = (len(one.points) - 1) * share // _READ_ON_THE_WAY
            x, y = one.points[at, :2].tolist()
            axes.plot(x, y, color=_ORANGE, marker="o", markersize=3)
            axes.annotate(one.read[at], (x, y), color=_ORANGE, fontsize=12)
        axes.set_title(f"a {one.label}", fontsize=9)
        axes.set_aspect("equal")
        axes.set_axis_off()
    return _png(figure)


def bars_picture(labels: Sequence[str], shares: Sequence[float]) -> bytes:
    """A lying bar for every label, from none to all."""
    figure = Figure(figsize=(7.2, 0.8 + 0.22 * len(labels)), layout="constrained")
    axes = figure.subplots()
    axes.barh(range(len(labels)), shares, color=_BLUE)
    axes.set_yticks(range(len(labels)), labels, fontsize=8)
    axes.invert_yaxis()
    axes.set_xlim(0, 1)
    axes.set_xlabel("share that is right")
    return _png(figure)


def alignment_picture(alignments: Sequence[Alignment]) -> bytes:
    """One beside the other, a row for every token that was written."""
    widths = [1.5 + 0.3 * len(shown.source) for shown in alignments]
    height = 1.8 + 0.26 * max(len(shown.target) for shown in alignments)
    figure = Figure(figsize=(sum(widths), height), layout="constrained")
    panels = figure.subplots(1, len(alignments), width_ratios=widths, squeeze=False)[0]
    for axes, shown in zip(panels, alignments, strict=True):
        axes.imshow(shown.weights, cmap="Blues", vmin=0, vmax=1, aspect="auto")
        columns, rows = range(len(shown.source)), range(len(shown.target))
        axes.set_xticks(columns, shown.source, rotation=90, fontfamily="DejaVu Sans Mono")
        axes.set_yticks(rows, shown.target, fontfamily="DejaVu Sans Mono")
        axes.set_xlabel("source")
    panels[0].set_ylabel("written")
    return _png(figure)


def looks_picture(looks: Sequence[Look]) -> bytes:
    """A row for every head, with the tokens in it; darker is more."""
    heads = looks[0].weights.shape[1]
    longest = max(len(look.tokens) for look in looks)
    size = (2.0 + 0.62 * longest, len(looks) * (0.55 + 0.34 * heads))
    figure = Figure(figsize=size, layout="constrained")
    for axes, look in zip(figure.subplots(len(looks), squeeze=False)[:, 0], looks, strict=True):
        axes.imshow(look.weights.T, cmap="Blues", vmin=0, vmax=1, aspect="auto")
        for (head, step), weight in np.ndenumerate(look.weights.T):
            colour = "white" if weight > 0.5 else "black"
            axes.text(
                step, head, look.tokens[step], ha="center", va="center", color=colour, fontsize=7
            )
        axes.set_xlim(-0.5, longest - 0.5)
        axes.set_xticks([])
        axes.set_yticks(range(heads), [f"head {n}" for n in range(heads)] if heads > 1 else [""])
        axes.set_title(look.answer, loc="left", fontsize=8)
        axes.spines[:].set_visible(False)
        axes.tick_params(length=0, labelsize=7)
    return _png(figure)


def lengths_picture(pairs: Sequence[tuple[int, int]]) -> bytes:
    """(written, wanted) of every text, in words."""
    figure = Figure(figsize=(4.2, 4.0), layout="constrained")
    axes = figure.subplots()
    axes.scatter(
        [wanted for _, wanted in pairs], [written for written, _ in pairs], s=6, color=_BLUE
    )
    longest = max(max(pair) for pair in pairs)
    axes.plot([0, longest], [0, longest], color=_GREY)
    axes.set_xlabel("words that people wrote")
    axes.set_ylabel("words written")
    return _png(figure)


def forecast_picture(forecasts: Sequence[Forecast], label: str) -> bytes:
    figure = Figure(figsize=(10, 2.8), layout="constrained")
    for axes, shown in zip(
        np.atleast_1d(figure.subplots(1, len(forecasts))), forecasts, strict=True
    ):
        before = np.arange(-len(shown.history) + 1, 1)
        after = np.arange(1, len(shown.forecast) + 1)
        axes.plot(before, shown.history, color=_GREY, label="before")
        axes.plot(after, shown.came, color=_BLUE, label="came")
        axes.plot(after, shown.forecast, color=_ORANGE, label="forecast")
        if shown.band is not None:
            axes.fill_between(after, *shown.band, color=_ORANGE, alpha=0.25, linewidth=0)
        axes.set_title(shown.title, fontsize=9)
        axes.set_xlabel("steps from the forecast")
    figure.axes[0].set_ylabel(label)
    figure.axes[0].legend(frameon=False, fontsize=8)
    return _png(figure)


def timeline_picture(
    rows: NDArray[np.float32],
    scores: NDArray[np.float32],
    odd: NDArray[np.bool_],
    *,
    threshold: float,
    num_normal: int,
) -> bytes:
    """Standard scores of the sensors above, the score of oddness below, anomalies shaded."""
    figure = Figure(figsize=(10, 4), layout="constrained")
    upper, lower = figure.subplots(2, 1, sharex=True)
    known = rows[:num_normal]
    upper.plot((rows - known.mean(axis=0)) / (known.std(axis=0) + 1e-6), linewidth=0.5)
    upper.set_ylim(-8, 8)
    upper.set_ylabel("sensors, deviations")
    lower.plot(scores, color=_ORANGE)
    lower.axhline(threshold, color=_GREY, linewidth=0.8)
    lower.axvline(num_normal, color=_GREY, linewidth=0.8)
    lower.set_ylabel("score")
    lower.set_xlabel("row")
    for axes in (upper, lower):
        low, high = axes.get_ylim()
        axes.fill_between(np.arange(len(odd)), low, high, where=odd, color=_BLUE, alpha=0.15)
        axes.set_ylim(low, high)
    return _png(figure)


def told_picture(
    told: NDArray[np.float32],
    truth: NDArray[np.float32],
    *,
    along: tuple[NDArray[np.float32], NDArray[np.float32]],
    label: str,
) -> bytes:
    """Told and true values of all items in order of the truth, and of one item step by step."""
    figure = Figure(figsize=(10, 3.2), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    order = np.argsort(truth, kind="stable")
    left.plot(truth[order], color=_BLUE, label="came")
    left.plot(told[order], color=_ORANGE, marker=".", linestyle="none", label="told")
    left.set_xlabel("test item, in order")
    right.plot(along[1], color=_BLUE)
    right.plot(along[0], color=_ORANGE)
    right.set_xlabel("step")
    left.set_ylabel(label)
    left.legend(frameon=False, fontsize=8)
    return _png(figure)


def heard_picture(
    bands: NDArray[np.float32], written: Sequence[tuple[int, str]], *, step_seconds: float
) -> bytes:
    """Bands `[time, mels]` from low to high, and labels above the steps at which they were told."""
    figure = Figure(figsize=(10, 3), layout="constrained")
    axes = figure.subplots()
    end = len(bands) * step_seconds
    axes.imshow(
        bands.T, origin="lower", aspect="auto", cmap="magma", extent=(0, end, 0, bands.shape[1])
    )
    top = bands.shape[1]
    for step, label in written:
        seconds = (step + 1) * step_seconds
        axes.axvline(seconds, color="white", linewidth=0.8)
        axes.annotate(label, (seconds, top), ha="center", va="bottom", annotation_clip=False)
    axes.set_xlabel("seconds")
    axes.set_ylabel("mel band")
    return _png(figure)


def _draw_confusion(axes: Axes, counts: NDArray[np.int64], labels: Sequence[str]) -> None:
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for (row, column), count in np.ndenumerate(counts):
        colour = "white" if shares[row, column] > 0.5 else "black"
        axes.text(column, row, str(count), ha="center", va="center", color=colour)
    long = max(len(label) for label in labels) > 4
    axes.set_xticks(range(len(labels)), labels, rotation=90 if long else 0)
    axes.set_yticks(range(len(labels)), labels)
    axes.set_xlabel("the model's label")
    axes.set_ylabel("the label")


def _png(figure: Figure) -> bytes:
    FigureCanvasAgg(figure)
    buffer = BytesIO()
    figure.savefig(buffer, format="png", dpi=_DOTS_PER_INCH, metadata={"Software": None})
    return buffer.getvalue()

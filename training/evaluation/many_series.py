"""Forecasts of many series by the rules of those who set the task, and what the bands hold.

M4 (Makridakis, Spiliotis and Assimakopoulos 2020, "The M4 Competition: 100,000 time series and 61
forecasting methods"): of each series' one forecast of h steps,

    sMAPE = 200/h sum |y - f| / (|y| + |f|),
    MASE = 1/h sum |y - f| / (1/(n - m) sum_{t > m} |y_t - y_{t-m}|),

n being the steps given out and m the season; then the mean over series.

LSTNet (Lai et al. 2018, arXiv 1703.07015): at each step ahead, over all series and test rows,

    RSE = sqrt(sum (y - f)^2) / sqrt(sum (y - mean of all y)^2),

and CORR, the mean over series of the correlation between y and f.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torchmetrics.functional.regression import (
    pearson_corrcoef,
    relative_squared_error,
    symmetric_mean_absolute_percentage_error,
)

from service.artifact.manifest import Metric
from training.data.many_series import Ahead, Competition, ManySeries, Series
from training.evaluation.evaluation import Evaluation, Picture
from training.evaluation.plots import Forecast, forecast_picture
from training.runner import Runner

_SHOWN = 3
_SHOWN_HISTORY = 3
"""In horizons."""

Values = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Told:
    """One series' forecasts from rows `origins`: quantiles, and what came."""

    series: Series
    origins: NDArray[np.int64]
    bands: Values
    """`[origins, quantiles, horizon]`"""

    def came(self, steps: int) -> Values:
        """`[origins]` so many steps after each; NaN after the end."""
        values = np.pad(self.series.values, (0, steps), constant_values=np.nan)
        return values[self.origins + steps]


def evaluate_many(
    data: ManySeries, runner: Runner, *, quantiles: tuple[float, ...], reference: str
) -> Evaluation:
    """Each series from its first row to its last, as one sequence."""
    told = [_told(data, one, runner) for one in data.series]
    median = quantiles.index(0.5)
    match data.judged:
        case Competition(season=season):
            metrics = _competition(told, median, season=season, reference=reference)
        case Ahead(steps=steps):
            metrics = _ahead(told, median, steps=steps, reference=reference)
    inside = _inside(told, data.horizon)
    off = _off_meant(inside, quantiles)
    return Evaluation((*metrics, off), _picture(data, told, quantiles, held=inside.mean()))


def smape(came: Values, forecast: Values) -> float:
    """In percent, as M4 defines it; `[steps]` of one series."""
    seen, expected = torch.from_numpy(forecast), torch.from_numpy(came)
    return 100 * float(symmetric_mean_absolute_percentage_error(seen, expected))


def mase(came: Values, forecast: Values, given: Values, *, season: int) -> float:
    """Of one series; `given` are the rows before the forecast."""
    naive = np.abs(given[season:] - given[:-season]).mean()
    return float(np.abs(came - forecast).mean() / naive)


def season_repeated(given: Values, horizon: int, *, season: int) -> Values:
    """The last season again and again, `[horizon]`."""
    return given[-season:][np.arange(horizon) % season]


def _told(data: ManySeries, one: Series, runner: Runner) -> Told:
    """From the last row before the test rows that all of them can be forecast from, onwards."""
    _, first, end = one.ends
    match data.judged:
        case Competition():
            origins = np.array([first - 1])
        case Ahead(steps=steps):
            origins = np.arange(first - max(steps), end - min(steps))
    rows = one.values[: origins[-1] + 1].astype(np.float32)
    outputs = runner.run(rows[None, :, None]).outputs[0, origins, :, :, 0]
    return Told(one, origins, outputs.astype(np.float64))


def _competition(
    told: Sequence[Told], median: int, *, season: int, reference: str
) -> tuple[Metric, ...]:
    ours, naive = list[tuple[float, float]](), list[tuple[float, float]]()
    for one in told:
        _, first, end = one.series.ends
        given, came = one.series.values[:first], one.series.values[first:end]
        repeated = season_repeated(given, len(came), season=season)
        for forecast, figures in ((one.bands[0, median], ours), (repeated, naive)):
            figures.append((smape(came, forecast), mase(came, forecast, given, season=season)))
    return tuple(
        Metric(
            name=name,
            value=float(value),
            split=f"test, {len(told)} series",
            baseline=float(baseline),
            baseline_name="last day repeated (seasonal naive)",
            reference=reference if name == "sMAPE" else "",
            lower_is_better=True,
        )
        for name, value, baseline in zip(
            ("sMAPE", "MASE"), np.mean(ours, axis=0), np.mean(naive, axis=0), strict=True
        )
    )


def _ahead(
    told: Sequence[Told], median: int, *, steps: tuple[int, ...], reference: str
) -> tuple[Metric, ...]:
    metrics: list[Metric] = []
    for ahead in steps:
        seen, last, came = list[Values](), list[Values](), list[Values]()
        for one in told:
            asked = _asked(one, ahead)
            came.append(one.came(ahead)[asked])
            seen.append(one.bands[asked, median, ahead - 1])
            last.append(one.series.values[one.origins[asked]])
        figures = (
            ("RSE", relative_error(seen, came), relative_error(last, came), True),
            ("CORR", correlation(seen, came), correlation(last, came), False),
        )
        metrics += [
            Metric(
                name=f"{name}, {ahead} days ahead",
                value=value,
                split=f"test, {len(came[0]):,} days of {len(came)} currencies",
                baseline=baseline,
                baseline_name="last value repeated",
                reference=reference if not metrics and name == "RSE" else "",
                lower_is_better=lower,
            )
            for name, value, baseline, lower in figures
        ]
    return tuple(metrics)


def relative_error(seen: Sequence[Values], came: Sequence[Values]) -> float:
    """RSE over all series at once."""
    told, truth = (torch.from_numpy(np.concatenate(values)) for values in (seen, came))
    return float(relative_squared_error(told, truth, squared=False))


def correlation(seen: Sequence[Values], came: Sequence[Values]) -> float:
    """CORR: the mean over series."""
    told, truth = (torch.from_numpy(np.stack(values, axis=1)) for values in (seen, came))
    return float(pearson_corrcoef(told, truth).mean())


def _asked(one: Told, ahead: int) -> NDArray[np.bool_]:
    """The forecasts whose row so many steps ahead is a test row."""
    rows = one.origins + ahead
    return (rows >= one.series.ends[1]) & (rows < one.series.ends[2])


def _inside(told: Sequence[Told], horizon: int) -> NDArray[np.bool_]:
    """Of each value that came within the horizon, whether the outermost quantiles held it."""
    inside = list[NDArray[np.bool_]]()
    for one in told:
        for ahead in range(1, horizon + 1):
            asked = _asked(one, ahead)
            low, high = one.bands[asked, 0, ahead - 1], one.bands[asked, -1, ahead - 1]
            came = one.came(ahead)[asked]
            inside.append((low <= came) & (came <= high))
    return np.concatenate(inside)


def _off_meant(inside: NDArray[np.bool_], quantiles: tuple[float, ...]) -> Metric:
    """A band is as wrong where it holds too much as where it holds too little."""
    lowest, highest = quantiles[0], quantiles[-1]
    meant = highest - lowest
    return Metric(
        name=f"share between the quantiles {lowest:g} and {highest:g}, off {meant:g}",
        value=float(abs(inside.mean() - meant)),
        split=f"test, {len(inside):,} values",
        baseline=meant,
        baseline_name="no band at all",
        lower_is_better=True,
    )


def _picture(
    data: ManySeries, told: Sequence[Told], quantiles: tuple[float, ...], *, held: float
) -> Picture:
    """Evenly spread over the series, each from its first forecast that test has the whole of."""
    median, history = quantiles.index(0.5), _SHOWN_HISTORY * data.horizon
    shown: list[Forecast] = []
    for at in np.linspace(0, len(told) - 1, _SHOWN + 2).astype(int)[1:-1]:
        one = told[at]
        place = int(np.flatnonzero(one.origins >= one.series.ends[1] - 1)[0])
        origin, bands = int(one.origins[place]), one.bands[place].astype(np.float32)
        values = one.series.values.astype(np.float32)
        shown.append(
            Forecast(
                history=values[origin - history + 1 : origin + 1],
                forecast=bands[median],
                came=values[origin + 1 : origin + 1 + data.horizon],
                band=(bands[0], bands[-1]),
                title=one.series.name,
            )
        )
    return Picture(
        "forecasts.png",
        f"{len(shown)} of the series, evenly spread over the list: what was, the forecast with "
        f"the band from {quantiles[0]:g} to {quantiles[-1]:g}, and what came. Of all values of "
        f"test, {held:.1%} lay in their bands.",
        forecast_picture(shown, data.feature),
    )

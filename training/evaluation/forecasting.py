"""How far forecasts are from what came, in scaled units, over every window of the test split."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torchmetrics.functional.regression import mean_absolute_error, mean_squared_error

from service.artifact.manifest import Metric
from training.data.timeseries import SeriesData
from training.evaluation.evaluation import Evaluation, Picture
from training.evaluation.plots import Forecast, forecast_picture
from training.runner import Runner

_SHOWN_FORECASTS = 3
_SHOWN_HISTORY = 3
"""In horizons."""


def evaluate_forecasting(data: SeriesData, runner: Runner, *, reference: str) -> Evaluation:
    """One pass over the test rows, with a chunk of history before the first."""
    test = data.test()
    inputs = test.inputs.numpy()
    counted = slice(test.first_counted, None)
    forecast = runner.run(inputs).outputs[0, counted]  # [windows, horizon, features]
    came = test.targets[0, counted].numpy()
    naive = last_rows_repeated(inputs[0], data.horizon)[counted]
    windows = f"test, {len(came):,} windows of {data.horizon} rows"
    baseline_name = f"last {data.horizon} rows repeated"
    seen, expected, trivial = (_scaled(values, data) for values in (forecast, came, naive))
    metrics = (
        Metric(
            name="MSE (scaled)",
            value=float(mean_squared_error(seen, expected)),
            split=windows,
            baseline=float(mean_squared_error(trivial, expected)),
            baseline_name=baseline_name,
            reference=reference,
            lower_is_better=True,
        ),
        Metric(
            name="MAE (scaled)",
            value=float(mean_absolute_error(seen, expected)),
            split=windows,
            baseline=float(mean_absolute_error(trivial, expected)),
            baseline_name=baseline_name,
            lower_is_better=True,
        ),
    )
    return Evaluation(metrics, _picture(data, inputs[0, counted], forecast=forecast, came=came))


def last_rows_repeated(rows: NDArray[np.float32], horizon: int) -> NDArray[np.float32]:
    """At every step the last rows, `[steps, horizon, features]`; zero before the first."""
    padded = np.concatenate([np.zeros((horizon - 1, rows.shape[1]), rows.dtype), rows])
    windows = np.lib.stride_tricks.sliding_window_view(padded, horizon, axis=0)
    return windows.transpose(0, 2, 1)


def _scaled(values: NDArray[np.float32], data: SeriesData) -> Tensor:
    return torch.from_numpy(data.scaling.apply(values.astype(np.float64))).contiguous()


def _picture(
    data: SeriesData,
    rows: NDArray[np.float32],
    *,
    forecast: NDArray[np.float32],
    came: NDArray[np.float32],
) -> Picture:
    """Forecasts of the last feature, evenly spread over the test rows."""
    history = _SHOWN_HISTORY * data.horizon
    steps = np.linspace(history, len(rows) - 1, _SHOWN_FORECASTS + 1).astype(int)[:-1]
    shown = [
        Forecast(
            history=rows[step - history + 1 : step + 1, -1],
            forecast=forecast[step, :, -1],
            came=came[step, :, -1],
        )
        for step in steps
    ]
    name, unit = data.table.features[-1], data.table.units[-1]
    label = f"{name} [{unit}]" if unit else name
    return Picture(
        "forecasts.png",
        f"{label} at {_SHOWN_FORECASTS} places of the test rows: what was, the forecast, "
        "and what came.",
        forecast_picture(shown, label),
    )

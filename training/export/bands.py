"""The graph of a `BandForecaster`: windows in their own spread, a recurrent layer, and bands."""

import numpy as np

from service.artifact.graphs import GraphSpec, StateSpec, TensorSpec
from training.export.draft import Draft
from training.export.graph import Graph
from training.export.linear import add_linear
from training.export.recurrent import LENGTHS, MODEL_FILE, add_stack, state_specs
from training.export.weights import array
from training.export.windows import add_last_rows, add_windows
from training.nn.bands import LEAST_SPREAD, NOTHING, BandForecaster


def band_graph(network: BandForecaster) -> Graph:
    horizon, recent = network.horizon, network.recent_steps
    shape = (recent, "batch", 1)
    kept = StateSpec(input="recent_in", output="recent_out", shape=shape, batch_axis=1)
    forecast = ("batch", "time", len(network.quantiles), horizon, 1)
    spec = GraphSpec(
        file=MODEL_FILE,
        inputs=(TensorSpec(name="values", dtype="float32", shape=("batch", "time", 1)),),
        lengths=LENGTHS,
        outputs=(TensorSpec(name="forecast", dtype="float32", shape=forecast),),
        state=(*state_specs(network.stack), kept),
    )
    draft = Draft()
    steps = draft.transpose("values", "values_by_time", (1, 0, 2))  # [time, batch, 1]
    rows = draft.add("Concat", ["recent_in", steps], "rows", {"axis": 0})
    add_last_rows(draft, rows, "recent", recent)
    windows = add_windows(draft, rows, recent)
    windows = draft.add("Squeeze", [windows, draft.integers(2)], "windows_flat")
    level, spread, read = _add_reading(draft, windows, recent)
    hidden = add_stack(draft, network.stack, read)  # [time, batch, hidden]
    bands = _add_bands(draft, network, read=read, hidden=hidden)
    _add_forecast(draft, bands, level=level, spread=spread)
    return Graph(draft.finish(spec), spec)


def _add_reading(draft: Draft, windows: str, recent: int) -> tuple[str, str, str]:
    """Level and spread `[time, batch, 1]`, and the window in them `[time, batch, recent]`.

    Means are products with constants: a reduction may round by the batch's shape.
    """
    averaging = draft.constant("averaging", np.full((recent, 1), 1 / recent, np.float32))
    level = draft.add("MatMul", [windows, averaging], "level")
    off = draft.add("Sub", [windows, level], "off_level")
    distance = draft.add("MatMul", [draft.add("Abs", [off], "distances"), averaging], "distance")
    size = draft.add("Abs", [level], "level_size")
    least = draft.add("Mul", [size, draft.number("least_spread", LEAST_SPREAD)], "least")
    spread = draft.add("Add", [distance, least], "spread_or_least")
    spread = draft.add("Add", [spread, draft.number("nothing", NOTHING)], "spread")
    return level, spread, draft.add("Div", [off, spread], "read")


def _add_bands(draft: Draft, network: BandForecaster, *, read: str, hidden: str) -> list[str]:
    """Each quantile in spreads from the level, `[time, batch, horizon]`, from the lowest up."""
    reading = draft.constant("reading", array(network.reading.weight).T)
    anchor = draft.add("MatMul", [read, reading], "anchor")
    added = add_linear(draft, hidden, "head", network.head)
    names = [f"added_{place}" for place in range(len(network.quantiles))]
    draft.split(added, names, sizes=[network.horizon] * len(names), axis=2)
    median = network.median
    bands = {median: draft.add("Add", [anchor, names[median]], f"band_{median}")}
    for place in range(median - 1, -1, -1):
        width = _add_squareplus(draft, names[place])
        bands[place] = draft.add("Sub", [bands[place + 1], width], f"band_{place}")
    for place in range(median + 1, len(names)):
        width = _add_squareplus(draft, names[place])
        bands[place] = draft.add("Add", [bands[place - 1], width], f"band_{place}")
    return [bands[place] for place in range(len(names))]


def _add_squareplus(draft: Draft, tensor: str) -> str:
    square = draft.add("Mul", [tensor, tensor], f"{tensor}_squared")
    four = draft.add("Add", [square, draft.number("four", 4)], f"{tensor}_and_four")
    root = draft.add("Sqrt", [four], f"{tensor}_root")
    both = draft.add("Add", [tensor, root], f"{tensor}_and_root")
    return draft.add("Div", [both, draft.number("two", 2)], f"{tensor}_width")


def _add_forecast(draft: Draft, bands: list[str], *, level: str, spread: str) -> None:
    quantile_axis, feature_axis = draft.integers(2), draft.integers(4)
    kept = [draft.add("Unsqueeze", [band, quantile_axis], f"{band}_kept") for band in bands]
    together = draft.add("Concat", kept, "bands", {"axis": 2})  # [time, batch, quantiles, horizon]
    spread = draft.add("Unsqueeze", [spread, quantile_axis], "spread_kept")
    level = draft.add("Unsqueeze", [level, quantile_axis], "level_kept")
    in_units = draft.add("Mul", [together, spread], "bands_off_level")
    in_units = draft.add("Add", [in_units, level], "bands_in_units")
    by_feature = draft.add("Unsqueeze", [in_units, feature_axis], "forecast_by_time")
    draft.transpose(by_feature, "forecast", (1, 0, 2, 3, 4))

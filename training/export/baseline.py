"""Statistics that a graph keeps of a sequence's first rows, and how far each row is from them."""

import numpy as np
import onnx

from training.export.draft import Draft
from training.export.recurrent import LENGTHS
from training.nn.signals import FARTHEST, LEAST_VARIANCE


def add_baseline(draft: Draft, scaled: str, baseline_steps: int) -> str:
    """`scaled [time, batch, features]` in deviations from the mean of the first rows.

    The sums begin with those from before, so that they are taken in one order in any chunks.
    """
    limit = draft.number("baseline_steps", baseline_steps)
    counted = draft.add("Round", ["counted_in"], "counted")
    before = draft.add("Add", [counted, _add_steps(draft)], "counted_before")
    taken = draft.add("Less", [before, limit], "is_taken")
    taken = draft.add("Cast", [taken], "taken", {"to": onnx.TensorProto.FLOAT})
    one = draft.number("one", 1)
    count = draft.add("Add", [before, one], "counted_all")
    count = draft.add("Clip", [count, one, limit], "count")
    squared = draft.add("Mul", [scaled, scaled], "squared")
    mean = _add_mean(draft, scaled, "sums", taken=taken, count=count)
    mean_square = _add_mean(draft, squared, "squares", taken=taken, count=count)
    variance = draft.add("Sub", [mean_square, draft.add("Mul", [mean, mean], "mean_2")], "variance")
    least = draft.number("least_variance", LEAST_VARIANCE)
    deviation = draft.add("Sqrt", [draft.add("Max", [variance, least], "variance_kept")], "spread")
    off = draft.add("Div", [draft.add("Sub", [scaled, mean], "off"), deviation], "off_in_spreads")
    _add_count_after(draft, counted, limit)
    ends = [draft.number("lowest", -FARTHEST), draft.number("highest", FARTHEST)]
    return draft.add("Clip", [off, *ends], "read")


def add_last_row(draft: Draft, rows: str, name: str) -> None:
    """`name_out`: of `rows [1 + time, batch, n]`, the one of each row's last valid step."""
    places = draft.add("Cast", [LENGTHS], f"{name}_places", {"to": onnx.TensorProto.INT64})
    places = draft.add("Unsqueeze", [places, draft.integers(0, 2)], f"{name}_places_kept")
    shape = draft.add("Shape", [f"{name}_in"], f"{name}_shape")
    places = draft.add("Expand", [places, shape], f"{name}_ends")
    draft.add("GatherElements", [rows, places], f"{name}_out", {"axis": 0})


def _add_mean(draft: Draft, values: str, name: str, *, taken: str, count: str) -> str:
    """Of the values taken so far, at every step; keeps their sum."""
    added = draft.add("Mul", [values, taken], f"{name}_added")
    all_of = draft.add("Concat", [f"{name}_in", added], f"{name}_all", {"axis": 0})
    sums = draft.add("CumSum", [all_of, draft.integer(0)], f"{name}_so_far")
    add_last_row(draft, sums, name)
    ends = [draft.integers(1), draft.integers(np.iinfo(np.int64).max), draft.integers(0)]
    return draft.add(
        "Div", [draft.add("Slice", [sums, *ends], f"{name}_now"), count], f"{name}_mean"
    )


def _add_steps(draft: Draft) -> str:
    """0, 1, ... `[time, 1, 1]` as float32."""
    shape = draft.add("Shape", ["values"], "values_shape")
    count = draft.add("Gather", [shape, draft.integer(1)], "num_steps")
    steps = draft.add("Range", [draft.integer(0), count, draft.integer(1)], "steps")
    steps = draft.add("Cast", [steps], "steps_as_float", {"to": onnx.TensorProto.FLOAT})
    return draft.add("Unsqueeze", [steps, draft.integers(1, 2)], "steps_kept")


def _add_count_after(draft: Draft, counted: str, limit: str) -> None:
    ends = draft.add("Cast", [LENGTHS], "lengths_as_float", {"to": onnx.TensorProto.FLOAT})
    ends = draft.add("Unsqueeze", [ends, draft.integers(0, 2)], "lengths_kept")
    after = draft.add("Add", [counted, ends], "counted_after")
    draft.add("Min", [after, limit], "counted_out")

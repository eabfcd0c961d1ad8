"""Counts and means of all steps so far, which a graph carries from chunk to chunk as state."""

import numpy as np
import onnx

from training.export.baseline import add_last_row
from training.export.draft import Draft
from training.export.recurrent import LENGTHS


def add_count(draft: Draft, steps: str, name: str) -> str:
    """Steps before each one, `[time, 1 or batch, 1]`; keeps their number in state `name`."""
    counted = draft.add("Relu", [draft.add("Round", [f"{name}_in"], f"{name}_whole")], name)
    shape = draft.add("Shape", [steps], f"{name}_shape")
    time = draft.add("Gather", [shape, draft.integer(0)], f"{name}_time")
    places = draft.add("Range", [draft.integer(0), time, draft.integer(1)], f"{name}_places")
    places = draft.add("Cast", [places], f"{name}_floats", {"to": onnx.TensorProto.FLOAT})
    places = draft.add("Unsqueeze", [places, draft.integers(1, 2)], f"{name}_column")
    ends = draft.add("Cast", [LENGTHS], f"{name}_lengths", {"to": onnx.TensorProto.FLOAT})
    ends = draft.add("Unsqueeze", [ends, draft.integers(0, 2)], f"{name}_lengths_kept")
    draft.add("Add", [counted, ends], f"{name}_out")
    return draft.add("Add", [counted, places], f"{name}_before")


def add_now(draft: Draft, before: str) -> str:
    """With the step itself."""
    one = draft.number("one_float", 1)
    return draft.add("Add", [before, one], f"{before}_and_now")


def add_mean(draft: Draft, values: str, name: str, count: str) -> str:
    """Of `values` up to each step; state `name` keeps their sum.

    The sums begin with those from before, so that they are taken in one order in any chunks.
    """
    all_of = draft.add("Concat", [f"{name}_in", values], f"{name}_all", {"axis": 0})
    sums = draft.add("CumSum", [all_of, draft.integer(0)], f"{name}_so_far")
    add_last_row(draft, sums, name)
    ends = [draft.integers(1), draft.integers(np.iinfo(np.int64).max), draft.integers(0)]
    now = draft.add("Slice", [sums, *ends], f"{name}_now")
    return draft.add("Div", [now, count], f"{name}_mean")


def add_mean_beside(draft: Draft, steps: str) -> str:
    """`steps [time, batch, n]` and beside them the mean of all so far, `[time, batch, 2 n]`."""
    count = add_now(draft, add_count(draft, steps, "told"))
    mean = add_mean(draft, steps, "outputs", count)
    return draft.add("Concat", [steps, mean], "steps_and_mean", {"axis": 2})

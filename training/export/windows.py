"""The last rows at every step, which a graph carries from chunk to chunk as state."""

import numpy as np
import onnx

from training.export.draft import Draft
from training.export.recurrent import LENGTHS


def add_windows(draft: Draft, rows: str, recent: int) -> str:
    """`rows [recent + time, batch, features]` to `[time, batch, features, recent]`."""
    shape = draft.add("Shape", ["values"], "values_shape")
    steps = draft.add("Gather", [shape, draft.integer(1)], "num_steps")
    zero, one = draft.integer(0), draft.integer(1)
    step = draft.add("Range", [zero, steps, one], "step")
    column = draft.add("Unsqueeze", [step, draft.integers(1)], "step_column")
    offsets = draft.constant("window_offsets", np.arange(1, recent + 1, dtype=np.int64))
    places = draft.add("Add", [column, offsets], "window_places")  # [time, recent]
    gathered = draft.add("Gather", [rows, places], "windows_by_time", {"axis": 0})
    return draft.transpose(gathered, "windows", (0, 2, 3, 1))


def add_last_rows(draft: Draft, rows: str, name: str, count: int) -> None:
    """State `name`: the `count` rows before each row's own end, which the next chunk begins with.

    `rows [count + time, batch, features]` begin with those from before.
    """
    ends = draft.add("Cast", [LENGTHS], "ends", {"to": onnx.TensorProto.INT64})
    ends = draft.add("Unsqueeze", [ends, draft.integers(0, 2)], "ends_kept")  # [1, batch, 1]
    offsets = np.arange(count, dtype=np.int64)[:, None, None]
    places = [ends, draft.constant(f"{name}_offsets", offsets)]
    place = draft.add("Add", places, f"{name}_places")
    shape = draft.add("Shape", [f"{name}_in"], f"{name}_shape")
    place = draft.add("Expand", [place, shape], f"{name}_everywhere")
    draft.add("GatherElements", [rows, place], f"{name}_out", {"axis": 0})

"""The last rows at every step, which a graph carries from chunk to chunk as state."""

import numpy as np
import onnx

from training.export.draft import Draft
from training.export.recurrent import LENGTHS


def add_windows(draft: Draft, rows: str, recent: int) -> str:
    """`rows [recent + time, batch, features]` to `[time, batch, features, recent]`."""
    shape = draft.add("Shape", ["values"], "values_shape")
    steps = draft.add("Gather", [shape, add_number(draft, "time_axis", 1)], "num_steps")
    zero, one = add_number(draft, "zero", 0), add_number(draft, "one", 1)
    step = draft.add("Range", [zero, steps, one], "step")
    column = draft.add("Unsqueeze", [step, draft.integers(1)], "step_column")
    offsets = draft.constant("window_offsets", np.arange(1, recent + 1, dtype=np.int64))
    places = draft.add("Add", [column, offsets], "window_places")  # [time, recent]
    gathered = draft.add("Gather", [rows, places], "windows_by_time", {"axis": 0})
    return draft.transpose(gathered, "windows", (0, 2, 3, 1))


def add_recent(draft: Draft, rows: str, recent: int) -> None:
    """The rows before each row's own end, which the next chunk begins with."""
    ends = draft.add("Cast", [LENGTHS], "ends", {"to": onnx.TensorProto.INT64})
    ends = draft.add("Unsqueeze", [ends, draft.integers(0, 2)], "ends_kept")  # [1, batch, 1]
    offsets = np.arange(recent, dtype=np.int64)[:, None, None]
    places = draft.add("Add", [ends, draft.constant("recent_offsets", offsets)], "recent_places")
    shape = draft.add("Shape", ["recent_in"], "recent_shape")
    places = draft.add("Expand", [places, shape], "recent_everywhere")
    draft.add("GatherElements", [rows, places], "recent_out", {"axis": 0})


def add_number(draft: Draft, name: str, value: int) -> str:
    return draft.constant(name, np.array(value, np.int64))

"""Nodes that respect where each row ends: which steps are valid, and rows turned round."""

from onnx import TensorProto

from training.export.draft import Draft

LENGTHS = "lengths"
"""The graph's input, int32 `[batch]`."""


def add_long_lengths(draft: Draft, output: str, lengths: str = LENGTHS) -> str:
    """`[batch]` int64, as indices are."""
    return draft.add("Cast", [lengths], output, {"to": TensorProto.INT64})


def add_valid(draft: Draft, steps: str, output: str, lengths: str = LENGTHS) -> str:
    """Which of `steps [time, batch, ...]` are before their row's end, `[time, batch]` bool."""
    size = draft.add("Shape", [steps], f"{output}_shape")
    time = draft.add("Gather", [size, draft.integer(0)], f"{output}_time")
    places = draft.add("Range", [draft.integer(0), time, draft.integer(1)], f"{output}_places")
    column = draft.add("Unsqueeze", [places, draft.integers(1)], f"{output}_column")
    ends = add_long_lengths(draft, f"{output}_ends", lengths)
    return draft.add("Less", [column, ends], output)


def add_turned(draft: Draft, tensor: str, output: str, lengths: str = LENGTHS) -> str:
    """`[time, batch, ...]` with each row's valid steps in reverse."""
    ends = add_long_lengths(draft, f"{output}_ends", lengths)
    return draft.add("ReverseSequence", [tensor, ends], output, {"time_axis": 0, "batch_axis": 1})

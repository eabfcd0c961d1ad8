"""The nodes by which a pen's way is read from where it began, in its size so far."""

import onnx

from training.export.baseline import add_last_row
from training.export.draft import Draft
from training.export.so_far import add_count, add_mean, add_now
from training.nn.strokes import FROM_FIRST, LEAST_SIZE, LEAST_VARIANCE, LEAST_WAY, MOVED


def add_strokes(draft: Draft, scaled: str) -> str:
    """`scaled [time, batch, 3]` to what the network reads, `[time, batch, NUM_READ]`."""
    draft.split(scaled, ["places", "begins"], sizes=[2, 1], axis=2)
    before = add_count(draft, scaled, "counted")  # [time, batch, 1]
    is_first = draft.add("Equal", [before, draft.number("zero_float", 0)], "is_first")
    moved = _add_moved(draft, is_first)
    mean, size = _add_size(draft, add_now(draft, before))
    at_least = draft.add("Max", [size, draft.number("least_size", LEAST_SIZE)], "size_at_least")
    from_first = draft.add("Sub", ["places", _add_first(draft, is_first)], "from_first")
    from_mean = draft.add("Sub", ["places", mean], "from_mean")
    parts = [
        _scaled(draft, from_first, at_least, FROM_FIRST),
        draft.add("Div", [from_mean, size], "from_mean_sized"),
        "begins",
        _scaled(draft, moved, at_least, MOVED),
        draft.add("Div", [moved, _add_way(draft, moved)], "direction"),
        size,
    ]
    return draft.add("Concat", parts, "read", {"axis": 2})


def _add_moved(draft: Draft, is_first: str) -> str:
    """From the point before; a first point has come from nowhere."""
    points = draft.add("Concat", ["point_in", "places"], "points", {"axis": 0})
    add_last_row(draft, points, "point")
    ends = [draft.integers(0), draft.integers(-1), draft.integers(0)]
    before = draft.add("Slice", [points, *ends], "points_before")
    before = draft.add("Where", [is_first, "places", before], "place_before")
    return draft.add("Sub", ["places", before], "moved")


def _add_first(draft: Draft, is_first: str) -> str:
    """The first point of all, `[1, batch, 2]`: from before, or the one that is read now."""
    start = draft.integers(0)
    now = draft.add("Gather", ["places", start], "places_now", {"axis": 0})
    new = draft.add("Gather", [is_first, start], "is_new", {"axis": 0})
    new = draft.add("Cast", [new], "new", {"to": onnx.TensorProto.FLOAT})
    return draft.add("Add", ["first_in", draft.add("Mul", [now, new], "begun")], "first_out")


def _add_size(draft: Draft, count: str) -> tuple[str, str]:
    """The mean of the points so far, and how far they are spread about it, `[time, batch, 1]`."""
    squared = draft.add("Mul", ["places", "places"], "places_squared")
    mean = add_mean(draft, "places", "sums", count)
    mean_square = add_mean(draft, squared, "squares", count)
    variance = draft.add("Sub", [mean_square, draft.add("Mul", [mean, mean], "mean_2")], "variance")
    least = draft.number("least_variance", LEAST_VARIANCE)
    variance = draft.add("Max", [variance, least], "variance_kept")
    draft.split(variance, ["variance_x", "variance_y"], sizes=[1, 1], axis=2)
    both = draft.add("Add", ["variance_x", "variance_y"], "variance_both")
    return mean, draft.add("Sqrt", [both], "size")


def _add_way(draft: Draft, moved: str) -> str:
    squares = draft.add("Mul", [moved, moved], "moved_squared")
    draft.split(squares, ["moved_x", "moved_y"], sizes=[1, 1], axis=2)
    length = draft.add("Sqrt", [draft.add("Add", ["moved_x", "moved_y"], "way_squared")], "way")
    return draft.add("Add", [length, draft.number("least_way", LEAST_WAY)], "way_kept")


def _scaled(draft: Draft, tensor: str, size: str, factor: float) -> str:
    sized = draft.add("Div", [tensor, size], f"{tensor}_sized")
    return draft.add("Mul", [sized, draft.number(f"times_{tensor}", factor)], f"{tensor}_read")

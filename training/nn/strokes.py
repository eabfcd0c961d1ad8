"""A pen's way, read from where it began and in its own size so far: no hand's place or size counts.

Causal: what is not drawn yet has no say, so that a digit's size settles as it grows.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from training.nn.recurrent import State

NUM_READ = 10
STATE_SIZES = {"counted": 1, "point": 2, "first": 2, "sums": 2, "squares": 2}
"""Points so far, the last one and the first, and x and y summed, plain and squared."""
LEAST_WAY = 0.03
"""Scaled: a pen that rests trembles, and that is no direction."""
LEAST_SIZE = 0.1
LEAST_VARIANCE = 1e-4
FROM_FIRST, MOVED = 0.5, 3.0
"""Bring what is read to about one."""


@dataclass(frozen=True, slots=True)
class Strokes:
    read: Tensor
    """`[batch, time, NUM_READ]`"""
    state: State


def read_strokes(scaled: Tensor, lengths: Tensor | None, before: State) -> Strokes:
    """From `scaled [batch, time, 3]`: x, y and whether a stroke begins."""
    counted, point, first, sums, squares = (part.transpose(0, 1) for part in before)
    counted = counted.round().relu()  # whole, so that its sums are exact in any order
    places, begins = scaled[..., :2], scaled[..., 2:]
    steps = torch.arange(scaled.shape[1], device=scaled.device).view(1, -1, 1)
    so_far = counted + steps  # before each step, [batch, time, 1]
    is_first = so_far == 0
    points = torch.cat([point, places], dim=1)
    moved = places - torch.where(is_first, places, points[:, :-1])
    first = first + places[:, :1] * is_first[:, :1]
    sums = torch.cat([sums, places], dim=1).cumsum(dim=1)
    squares = torch.cat([squares, places.square()], dim=1).cumsum(dim=1)
    count = so_far + 1
    mean = sums[:, 1:] / count
    variance = (squares[:, 1:] / count - mean.square()).clamp(min=LEAST_VARIANCE)
    size = (variance[..., :1] + variance[..., 1:]).sqrt()
    at_least = size.clamp(min=LEAST_SIZE)
    way = (moved[..., :1].square() + moved[..., 1:].square()).sqrt() + LEAST_WAY
    read = [
        (places - first) / at_least * FROM_FIRST,
        (places - mean) / size,
        begins,
        moved / at_least * MOVED,
        moved / way,
        size,
    ]
    state = (
        counted.transpose(0, 1) + num_steps(scaled, lengths),
        last_row(points, lengths),
        first.transpose(0, 1),
        last_row(sums, lengths),
        last_row(squares, lengths),
    )
    return Strokes(torch.cat(read, dim=-1), state)


def num_steps(rows: Tensor, lengths: Tensor | None) -> int | Tensor:
    """Of each of `rows [batch, time, features]`, `[1, batch, 1]`."""
    return rows.shape[1] if lengths is None else lengths.to(rows.device).view(1, -1, 1)


def last_row(rows: Tensor, lengths: Tensor | None) -> Tensor:
    """The last valid row of each, `[1, batch, features]`; `rows` begin with one from before."""
    if lengths is None:
        return rows[:, -1:].transpose(0, 1)
    places = lengths.to(rows.device).view(1, -1, 1).expand(1, -1, rows.shape[2])
    return rows.transpose(0, 1).gather(0, places)

"""Numbers in, numbers out, at every step: what a class, a value or a next row is read off.

Causal, so that a sequence may be cut anywhere and an answer streams. How a row is read is part of
the network: scaling, differences and spectra are in the graph, and callers send plain readings.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import assert_never

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from service.artifact.scaling import Scaling
from training.config import ModelConfig, Reading
from training.nn.models import Prediction
from training.nn.recurrent import State, causal_stack_of
from training.nn.strokes import NUM_READ, STATE_SIZES, last_row, num_steps, read_strokes

LEAST_LEVEL = 1e-6
"""Keeps silence finite; far below what a sensor's last digit adds."""
LEAST_VARIANCE = 1e-6
"""Of a baseline, in scaled units: a sensor that stood still may move a little."""
FARTHEST = 10.0
"""Deviations from a baseline: what is farther off is as odd as can be."""
_NOTHING = np.zeros((0, 0), np.float32)


@dataclass(frozen=True, slots=True)
class Read:
    """Rows as the recurrent layers see them."""

    steps: Tensor
    """`[batch, time, read]`"""
    of_layers: State
    """The recurrent layers' part of the state."""
    kept: State = ()
    """What reading keeps, after the last row."""


class SignalNetwork(nn.Module):
    """Rows, read as `config.reading` says, through recurrent layers to `num_outputs` at each step.

    `outputs` puts the answers into their own units, as `scaling` takes the inputs out of theirs;
    differences from row to row are counted in `paces`, for most rows are almost the one before.
    """

    reading: Reading
    mean: Tensor
    deviation: Tensor
    cosines: Tensor
    sines: Tensor
    paces: Tensor
    from_root: Tensor
    output_mean: Tensor
    output_deviation: Tensor

    def __init__(
        self,
        config: ModelConfig,
        scaling: Scaling,
        outputs: Scaling,
        *,
        paces: Sequence[float],
        name: str,
    ) -> None:
        super().__init__()
        self.name = name
        """What the graph calls its output."""
        self.reading = config.reading
        self.baseline_steps = config.baseline_steps
        self.num_features = len(scaling.mean)
        self.register_buffer("mean", torch.tensor(scaling.mean))
        self.register_buffer("deviation", torch.tensor(scaling.deviation))
        self.register_buffer("paces", torch.tensor(tuple(paces)))
        self.register_buffer("output_mean", torch.tensor(outputs.mean))
        self.register_buffer("output_deviation", torch.tensor(outputs.deviation))
        cosines, sines = fourier(self.num_features)
        self.register_buffer("cosines", torch.from_numpy(cosines), persistent=False)
        self.register_buffer("sines", torch.from_numpy(sines), persistent=False)
        from_root = seen_from_root(self.num_features) if self.reading == "skeleton" else _NOTHING
        self.register_buffer("from_root", torch.from_numpy(from_root), persistent=False)
        self.stack = causal_stack_of(config, _num_read(config, self.num_features))
        self.dropout = nn.Dropout(config.dropout)
        self.recalls = config.answers_by == "all"
        """Whether an answer is read off the mean of all outputs too."""
        width = self.stack.num_outputs * (2 if self.recalls else 1)
        self.head = nn.Linear(width, len(outputs.mean))

    @property
    def keeps_row(self) -> bool:
        return self.reading in ("differences", "skeleton")

    @property
    def kept_sizes(self) -> dict[str, int]:
        """What is kept of the rows before, beside the recurrent layers' state."""
        features = self.num_features
        sizes: dict[str, int] = {}
        if self.keeps_row:
            sizes = {"row": features}
        elif self.reading == "baseline":
            sizes = {"counted": 1, "sums": features, "squares": features}
        elif self.reading == "strokes":
            sizes = STATE_SIZES
        return sizes | ({"told": 1, "outputs": self.stack.num_outputs} if self.recalls else {})

    def initial_state(self, num_rows: int) -> State:
        """The recurrent layers' zeros, and those of what else is kept of the rows before.

        That is the last row, where differences are read; of a baseline, how many rows it is of,
        their sum and the sum of their squares; of a pen's way, what `read_strokes` needs; and last
        the outputs so far, counted and summed, where answers are read off all of them.
        """
        state = self.stack.initial_state(num_rows)
        sizes = self.kept_sizes.values()
        return (*state, *(self.mean.new_zeros(1, num_rows, size) for size in sizes))

    def forward(
        self, inputs: Tensor, lengths: Tensor | None = None, state: State | None = None
    ) -> Prediction:
        """`[batch, time, features]` to `[batch, time, outputs]`."""
        state = self.initial_state(inputs.shape[0]) if state is None else state
        recalled = state[-2:] if self.recalls else ()
        read = self.read(inputs, lengths, state[: len(state) - len(recalled)])
        recurrence = self.stack(read.steps, lengths, read.of_layers)
        steps = recurrence.outputs
        if self.recalls:
            steps, recalled = _beside_mean(steps, lengths, recalled)
        answered = self.head(self.dropout(steps))
        outputs = answered * self.output_deviation + self.output_mean
        return Prediction(outputs, (*recurrence.state, *read.kept, *recalled))

    def read(self, inputs: Tensor, lengths: Tensor | None, state: State) -> "Read":
        """What the recurrent layers see of the rows; `state` is theirs, then that of reading."""
        scaled = (inputs - self.mean) / self.deviation
        match self.reading:
            case "plain":
                return Read(scaled, state)
            case "strokes":
                count = len(STATE_SIZES)
                strokes = read_strokes(scaled, lengths, state[-count:])
                return Read(strokes.read, state[:-count], strokes.state)
            case "differences" | "skeleton":
                rows = torch.cat([state[-1].transpose(0, 1), scaled], dim=1)
                static = scaled @ self.from_root if self.reading == "skeleton" else scaled
                moved = (scaled - rows[:, :-1]) / self.paces
                both = torch.cat([static, moved], dim=-1)
                return Read(both, state[:-1], (last_row(rows, lengths),))
            case "baseline":
                off, known = self._from_baseline(scaled, lengths, state[-3:])
                return Read(off, state[:-3], known)
            case "spectrum":
                return Read(self._spectrum(scaled), state)
            case _:
                assert_never(self.reading)

    def state_after_baseline(self, rows: Tensor) -> State:
        """Of a network that knows `rows [batch, time, features]` and has not stepped yet."""
        scaled = (rows - self.mean) / self.deviation
        zeros = self.initial_state(len(rows))
        _, known = self._from_baseline(scaled, None, zeros[-3:])
        return (*zeros[:-3], *known)

    def _from_baseline(
        self, scaled: Tensor, lengths: Tensor | None, before: State
    ) -> tuple[Tensor, State]:
        """Deviations from the mean of the first rows, and the statistics after the last row.

        Until there are enough rows the baseline is of those so far, the row itself among them.
        """
        counted, sums, squares = (part.transpose(0, 1) for part in before)  # [batch, 1, ...]
        counted = counted.round()  # whole, so that its sums are exact in any order
        steps = torch.arange(scaled.shape[1], device=scaled.device).view(1, -1, 1)
        taken = (counted + steps < self.baseline_steps).float()  # [batch, time, 1]
        count = (counted + steps + 1).clamp(1, self.baseline_steps)
        sums = torch.cat([sums, scaled * taken], dim=1).cumsum(dim=1)
        squares = torch.cat([squares, scaled.square() * taken], dim=1).cumsum(dim=1)
        mean = sums[:, 1:] / count
        variance = squares[:, 1:] / count - mean.square()
        deviation = variance.clamp(min=LEAST_VARIANCE).sqrt()
        read = ((scaled - mean) / deviation).clamp(-FARTHEST, FARTHEST)
        after = counted.transpose(0, 1) + num_steps(scaled, lengths)
        after = after.clamp(max=self.baseline_steps)
        return read, (after, last_row(sums, lengths), last_row(squares, lengths))

    def _spectrum(self, frames: Tensor) -> Tensor:
        """The root of |FFT| over its mean of all bins: a spectrum's shape, whatever the gain.

        A root and no logarithm: a vectorised logarithm rounds by an element's place in its array.
        """
        power = (frames @ self.cosines).square() + (frames @ self.sines).square()
        roots = power.sqrt().sqrt()  # [batch, time, bins]
        return roots / (roots.mean(dim=-1, keepdim=True) + LEAST_LEVEL) - 1


def fourier(num_samples: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Hann-windowed cosines and sines `[samples, bins]`; the constant bin is left out."""
    samples, bins = np.arange(num_samples)[:, None], np.arange(1, num_samples // 2 + 1)
    angles = 2 * np.pi * samples * bins / num_samples
    window = np.hanning(num_samples)[:, None]
    return (
        (window * np.cos(angles)).astype(np.float32),
        (window * np.sin(angles)).astype(np.float32),
    )


def seen_from_root(num_features: int) -> NDArray[np.float32]:
    """`[features, features]`: takes the first joint's x, y, z off each joint's."""
    root = np.zeros((num_features, num_features), np.float32)
    root[:3] = np.tile(np.eye(3, dtype=np.float32), num_features // 3)
    return np.eye(num_features, dtype=np.float32) - root


def _beside_mean(
    steps: Tensor, lengths: Tensor | None, before: State
) -> tuple[Tensor, tuple[Tensor, Tensor]]:
    """Each step's outputs and the mean of all up to it, `[batch, time, 2 outputs]`; what is kept
    are how many there were and their sum."""
    counted, sums = (part.transpose(0, 1) for part in before)  # [batch, 1, ...]
    counted = counted.round().relu()  # whole, so that its sums are exact in any order
    places = torch.arange(1, steps.shape[1] + 1, device=steps.device).view(1, -1, 1)
    sums = torch.cat([sums, steps], dim=1).cumsum(dim=1)
    mean = sums[:, 1:] / (counted + places)
    after = (counted.transpose(0, 1) + num_steps(steps, lengths), last_row(sums, lengths))
    return torch.cat([steps, mean], dim=-1), after


def _num_read(config: ModelConfig, num_features: int) -> int:
    match config.reading:
        case "plain" | "baseline":
            return num_features
        case "differences" | "skeleton":
            return 2 * num_features
        case "strokes":
            return NUM_READ
        case "spectrum":
            return num_features // 2

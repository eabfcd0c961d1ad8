"""Numbers in, numbers out, at every step: what a class, a value or a next row is read off.

Causal, so that a sequence may be cut anywhere and an answer streams. How a row is read is part of
the network: scaling, differences and spectra are in the graph, and callers send plain readings.
"""

from typing import assert_never

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from service.artifact.scaling import Scaling
from training.config import ModelConfig, Reading
from training.nn.models import Prediction
from training.nn.recurrent import RecurrentStack, State

LEAST_LEVEL = 1e-6
"""Keeps silence finite; far below what a sensor's last digit adds."""
_NOTHING = np.zeros((0, 0), np.float32)


class SignalNetwork(nn.Module):
    """Rows, read as `config.reading` says, through recurrent layers to `num_outputs` at each step.

    `outputs` puts the answers into their own units, as `scaling` takes the inputs out of theirs.
    """

    reading: Reading
    mean: Tensor
    deviation: Tensor
    cosines: Tensor
    sines: Tensor
    from_root: Tensor
    output_mean: Tensor
    output_deviation: Tensor

    def __init__(
        self, config: ModelConfig, scaling: Scaling, outputs: Scaling, *, name: str
    ) -> None:
        super().__init__()
        self.name = name
        """What the graph calls its output."""
        self.reading = config.reading
        self.num_features = len(scaling.mean)
        self.register_buffer("mean", torch.tensor(scaling.mean))
        self.register_buffer("deviation", torch.tensor(scaling.deviation))
        self.register_buffer("output_mean", torch.tensor(outputs.mean))
        self.register_buffer("output_deviation", torch.tensor(outputs.deviation))
        cosines, sines = fourier(self.num_features)
        self.register_buffer("cosines", torch.from_numpy(cosines), persistent=False)
        self.register_buffer("sines", torch.from_numpy(sines), persistent=False)
        from_root = seen_from_root(self.num_features) if self.reading == "skeleton" else _NOTHING
        self.register_buffer("from_root", torch.from_numpy(from_root), persistent=False)
        self.stack = RecurrentStack(
            config.cell,
            _num_read(config, self.num_features),
            config.hidden,
            layers=config.layers,
            dropout=config.dropout,
        )
        self.dropout = nn.Dropout(config.dropout)
        self.head = nn.Linear(self.stack.num_outputs, len(outputs.mean))

    @property
    def keeps_row(self) -> bool:
        return self.reading in ("differences", "skeleton")

    def initial_state(self, num_rows: int) -> State:
        """The recurrent layers' zeros, and the row before the first where differences are read."""
        state = self.stack.initial_state(num_rows)
        if not self.keeps_row:
            return state
        return (*state, self.mean.new_zeros(1, num_rows, self.num_features))

    def forward(
        self, inputs: Tensor, lengths: Tensor | None = None, state: State | None = None
    ) -> Prediction:
        """`[batch, time, features]` to `[batch, time, outputs]`."""
        state = self.initial_state(inputs.shape[0]) if state is None else state
        scaled = (inputs - self.mean) / self.deviation
        kept: State = ()
        match self.reading:
            case "plain":
                read = scaled
            case "differences" | "skeleton":
                rows = torch.cat([state[-1].transpose(0, 1), scaled], dim=1)
                static = scaled if self.reading == "differences" else scaled @ self.from_root
                read = torch.cat([static, scaled - rows[:, :-1]], dim=-1)
                state, kept = state[:-1], (_last_row(rows, lengths),)
            case "spectrum":
                read = self._spectrum(scaled)
            case _:
                assert_never(self.reading)
        recurrence = self.stack(read, lengths, state)
        answered = self.head(self.dropout(recurrence.outputs))
        outputs = answered * self.output_deviation + self.output_mean
        return Prediction(outputs, (*recurrence.state, *kept))

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


def _num_read(config: ModelConfig, num_features: int) -> int:
    match config.reading:
        case "plain":
            return num_features
        case "differences" | "skeleton":
            return 2 * num_features
        case "spectrum":
            return num_features // 2


def _last_row(rows: Tensor, lengths: Tensor | None) -> Tensor:
    """The last valid row of each, `[1, batch, features]`; `rows` begin with one from before."""
    if lengths is None:
        return rows[:, -1:].transpose(0, 1)
    places = lengths.to(rows.device).view(1, -1, 1).expand(1, -1, rows.shape[2])
    return rows.transpose(0, 1).gather(0, places)

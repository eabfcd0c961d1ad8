"""What follows in one series, at every step: a median, and quantiles about it that never cross.

One network for many series: each window is read from its own level and in its own spread, so that
passengers in millions and rates about one look alike.
"""

from collections.abc import Sequence
from itertools import accumulate

import torch
from torch import Tensor, nn

from training.config import ModelConfig
from training.nn.models import Prediction, last_rows
from training.nn.recurrent import RecurrentStack, State

LEAST_SPREAD = 1e-3
"""In levels: a window that hardly moves is not blown up."""
NOTHING = 1e-6
"""Keeps a window of zeros finite."""
MEDIAN = 0.5


class BandForecaster(nn.Module):
    """median = level + spread (A w + what the recurrent layer adds), w being the last rows.

    `w = (recent - level) / spread`, `level` is the mean of the recent rows and `spread` how far
    they are from it on average. A, a matrix `[horizon, recent]`, begins as the mean of the rows
    one season before those that are asked for. The quantiles are the median and, outwards from it,
    widths that are positive by squareplus, `(x + sqrt(x^2 + 4)) / 2` (Barron 2021, arXiv
    2112.11687): a root rounds alike wherever a number lies, a logarithm need not.

    The recent rows are state, beside that of the recurrent layers; before the first row they are 0.
    """

    def __init__(self, config: ModelConfig, horizon: int) -> None:
        super().__init__()
        assert MEDIAN in config.quantiles, "the median is the forecast"
        self.num_features = 1
        self.horizon = horizon
        self.quantiles = config.quantiles
        self.recent_steps = config.recent_steps
        self.reading = nn.Linear(self.recent_steps, horizon, bias=False)
        self.stack = RecurrentStack(
            config.cell,
            self.recent_steps,
            config.hidden,
            layers=config.layers,
            dropout=config.dropout,
        )
        self.dropout = nn.Dropout(config.dropout)
        self.head = nn.Linear(self.stack.num_outputs, len(self.quantiles) * horizon)
        with torch.no_grad():
            self.reading.weight.copy_(season_before(self.recent_steps, config, horizon))
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    @property
    def median(self) -> int:
        """Its place among the quantiles."""
        return self.quantiles.index(MEDIAN)

    def initial_state(self, num_rows: int) -> State:
        """The recurrent layers' zeros, and recent rows `[recent, batch, 1]`."""
        recent = self.head.weight.new_zeros(self.recent_steps, num_rows, 1)
        return (*self.stack.initial_state(num_rows), recent)

    def forward(
        self, inputs: Tensor, lengths: Tensor | None = None, state: State | None = None
    ) -> Prediction:
        """`[batch, time, 1]` to `[batch, time, quantiles, horizon, 1]`."""
        state = self.initial_state(inputs.shape[0]) if state is None else state
        rows = torch.cat([state[-1].transpose(0, 1), inputs], dim=1)  # [batch, recent + time, 1]
        windows = rows.squeeze(-1).unfold(1, self.recent_steps, 1)[:, 1:]  # [batch, time, recent]
        level = windows.mean(dim=-1, keepdim=True)
        spread = (windows - level).abs().mean(dim=-1, keepdim=True)
        spread = spread + LEAST_SPREAD * level.abs() + NOTHING
        read = (windows - level) / spread

        recurrence = self.stack(read, lengths, state[:-1])
        added = self.head(self.dropout(recurrence.outputs))
        added = added.unflatten(-1, (len(self.quantiles), self.horizon))
        median = self.reading(read) + added[..., self.median, :]
        bands = self._bands(median, squareplus(added))  # [batch, time, quantiles, horizon]
        outputs = bands * spread.unsqueeze(-1) + level.unsqueeze(-1)
        recent = last_rows(rows, lengths, self.recent_steps)
        return Prediction(outputs.unsqueeze(-1), (*recurrence.state, recent))

    def _bands(self, median: Tensor, widths: Tensor) -> Tensor:
        """Outwards from the median, width by width."""
        each = widths.unbind(-2)
        below = accumulate(reversed(each[: self.median]), torch.sub, initial=median)
        above = accumulate(each[self.median + 1 :], torch.add, initial=median)
        return torch.stack([*reversed([*below]), *[*above][1:]], dim=-2)


def squareplus(tensor: Tensor) -> Tensor:
    """Above 0; 1 at 0."""
    return (tensor + (tensor.square() + 4).sqrt()) / 2


def season_before(recent: int, config: ModelConfig, horizon: int) -> Tensor:
    """`[horizon, recent]`: for each step the mean of the rows one season before it, or several
    seasons where it is farther off."""
    picked = torch.zeros(horizon, recent)
    for season in config.seasons:
        for ahead in range(horizon):
            picked[ahead, recent - season + ahead % season] += 1 / len(config.seasons)
    return picked


def pinball(error: Tensor, quantiles: Sequence[float]) -> Tensor:
    """The loss that a quantile is the least of (Koenker and Bassett 1978), `[batch, time, ...]`.

    `error [batch, time, quantiles, ...]` is what came less the quantile.
    """
    shares = torch.tensor(quantiles, device=error.device).view(-1, *[1] * (error.ndim - 3))
    return torch.maximum(shares * error, (shares - 1) * error)

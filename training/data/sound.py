"""What is done to sound before it is learned from: other levels, other rooms, other paces.

All rows of a batch at once. A recording means the same however loud, late, fast or noisy it is.
"""

import torch
from torch import Tensor
from torch.nn.functional import interpolate

_QUIETEST, _LOUDEST = -0.7, 0.5
"""Powers of ten that a recording is made louder by."""
_LEAST_NOISE, _MOST_NOISE = -2.2, -0.7
"""Powers of ten of a recording's own level: 44 to 14 dB below it."""
_SLOWEST, _FASTEST = 0.85, 1.18
_LATEST_SECONDS = 0.1


def augmented(
    samples: Tensor, lengths: Tensor, draw: torch.Generator, *, sample_rate: int
) -> tuple[Tensor, Tensor]:
    """Another batch that means the same: samples `[batch, time]` and lengths `[batch]`.

    Each row has its own gain, noise and start; the pace is the batch's.
    """
    samples, lengths = _paced(samples, lengths, _uniform(draw, _SLOWEST, _FASTEST, 1).item())
    samples, lengths = _later(samples, lengths, draw, most=int(_LATEST_SECONDS * sample_rate))
    level = (samples.square().sum(dim=1) / lengths).sqrt().unsqueeze(1)  # [batch, 1]
    rows = len(samples)
    noise = 10 ** _uniform(draw, _LEAST_NOISE, _MOST_NOISE, rows).unsqueeze(1) * level
    gain = 10 ** _uniform(draw, _QUIETEST, _LOUDEST, rows).unsqueeze(1)
    noisy = gain * (samples + noise * torch.randn(samples.shape, generator=draw))
    return noisy.clamp(-1, 1), lengths


def _paced(samples: Tensor, lengths: Tensor, pace: float) -> tuple[Tensor, Tensor]:
    size = max(1, int(samples.shape[1] / pace))
    paced = interpolate(samples.unsqueeze(1), size=size, mode="linear").squeeze(1)
    return paced, (lengths / pace).long().clamp(1, size)


def _later(
    samples: Tensor, lengths: Tensor, draw: torch.Generator, *, most: int
) -> tuple[Tensor, Tensor]:
    """Each row begins after a silence of its own, and ends before another one."""
    before = torch.randint(0, most + 1, (len(samples), 1), generator=draw)
    after = torch.randint(0, most + 1, (len(samples),), generator=draw)
    places = torch.arange(samples.shape[1] + 2 * most) - before  # [batch, longer time]
    inside = (places >= 0) & (places < lengths.unsqueeze(1))
    taken = samples.gather(1, places.clamp(0, samples.shape[1] - 1))
    return taken * inside, lengths + before.squeeze(1) + after


def _uniform(draw: torch.Generator, low: float, high: float, count: int) -> Tensor:
    return low + (high - low) * torch.rand(count, generator=draw)

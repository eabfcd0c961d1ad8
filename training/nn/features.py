"""What is heard in samples: log-mel energies of every hop, by products and exact arithmetic.

A frame is the hop itself and those before it; what a frame still needs of the past is given, so
that sound may be cut into chunks anywhere.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

FLOOR = 1e-6
"""Added to every energy: far below speech, above what the digits of 16-bit samples leave."""
ROOTS = 7
"""Square roots that bring an energy near 1, where its logarithm is two terms of a series."""
_HOPS_OF_FRAME = 3
_LEAST_DEVIATION = 0.1
"""Of a band in which nothing ever happens, in nats."""


@dataclass(frozen=True, slots=True)
class Framing:
    """How samples are cut: 30 ms every 10 ms is the custom of speech recognition."""

    sample_rate: int = 8000
    hop: int = 80
    mels: int = 40

    @property
    def hops_before(self) -> int:
        """Hops of a frame before its last one."""
        return _HOPS_OF_FRAME - 1

    @property
    def window(self) -> int:
        """Samples of a frame."""
        return _HOPS_OF_FRAME * self.hop


class LogMel(nn.Module):
    """log(mel |DFT|^2 + floor) of Hann-windowed frames, each band in its own training deviations.

    The DFT is a convolution with fixed kernels, whose stride divides its width: so it is one
    product of each frame with a constant matrix.
    """

    waves: Tensor
    filters: Tensor
    mean: Tensor
    deviation: Tensor

    def __init__(self, framing: Framing) -> None:
        super().__init__()
        self.framing = framing
        self.register_buffer("waves", torch.from_numpy(waves(framing.window)), persistent=False)
        self.register_buffer("filters", torch.from_numpy(mel_filters(framing)), persistent=False)
        self.register_buffer("mean", torch.zeros(framing.mels))
        self.register_buffer("deviation", torch.ones(framing.mels))

    def normalise_by(self, recordings: Iterable[Tensor]) -> None:
        """Fix mean and deviation: those of recordings `[time, hop]`, each from silence."""
        heard = torch.cat([self.energies(self.from_silence(rows)) for rows in recordings])
        self.mean.copy_(heard.mean(dim=0))
        self.deviation.copy_(heard.std(dim=0).clamp(min=_LEAST_DEVIATION))

    def forward(self, hops: Tensor) -> Tensor:
        """Samples `[batch, hops_before + time, hop]` to `[batch, time, mels]`; no gradient."""
        with torch.no_grad():
            return (self.energies(hops) - self.mean) / self.deviation

    def energies(self, hops: Tensor) -> Tensor:
        """The same, in nats: `[..., hops_before + time, hop]` to `[..., time, mels]`."""
        time = hops.shape[-2] - self.framing.hops_before
        parts = [hops[..., first : first + time, :] for first in range(_HOPS_OF_FRAME)]
        waves = torch.cat(parts, dim=-1) @ self.waves  # [..., time, 2 bins]
        real, imaginary = waves.square().chunk(2, dim=-1)
        return logarithm((real + imaginary) @ self.filters + FLOOR)

    def from_silence(self, rows: Tensor) -> Tensor:
        """Hops `[time, hop]` with the silent ones before them that the first frame needs."""
        silence = rows.new_zeros(self.framing.hops_before, self.framing.hop)
        return torch.cat([silence, rows])


def logarithm(values: Tensor) -> Tensor:
    """n log r of the n-th root r, and log r = 2 (z + z^3 / 3 + ...) with z = (r - 1) / (r + 1).

    Within 5e-5 of the logarithm from 1e-6 to 1e6. A runtime's own may round by an element's place
    in its array; roots and the four operations round in one way only.
    """
    for _ in range(ROOTS):
        values = values.sqrt()
    z = (values - 1) / (values + 1)
    return (z * z / 3 + 1) * z * 2 ** (ROOTS + 1)


def waves(window: int) -> NDArray[np.float32]:
    """Hann-windowed cosines, then sines, `[window, 2 bins]`; neither the constant nor the last."""
    samples, bins = np.arange(window)[:, None], np.arange(1, window // 2)
    angles = 2 * np.pi * samples * bins / window
    hann = (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(window) / window))[:, None]
    both = np.concatenate([hann * np.cos(angles), hann * np.sin(angles)], axis=1)
    return both.astype(np.float32)


def mel_filters(framing: Framing) -> NDArray[np.float32]:
    """Triangles that stand alike on the mel scale (O'Shaughnessy 1987), `[bins, mels]`."""
    bins = np.arange(1, framing.window // 2) * framing.sample_rate / framing.window
    highest = 2595 * np.log10(1 + framing.sample_rate / 2 / 700)
    corners = 700 * (10 ** (np.linspace(0, highest, framing.mels + 2) / 2595) - 1)  # hertz
    left, middle, right = corners[:-2], corners[1:-1], corners[2:]
    rising = (bins[:, None] - left) / (middle - left)
    falling = (right - bins[:, None]) / (right - middle)
    return np.maximum(0, np.minimum(rising, falling)).astype(np.float32)

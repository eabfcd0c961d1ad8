"""Log-mel energies are those of a plain FFT, and their logarithm is one."""

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from training.nn.features import FLOOR, Framing, LogMel, logarithm, mel_filters

FRAMING = Framing(sample_rate=8000, hop=80, mels=40)
ROUNDING = 2e-4
"""5e-5 of the logarithm, and float32 where a product of 240 samples is nearly nothing."""


def by_fft(samples: np.ndarray) -> np.ndarray:
    """`[time, mels]` in nats, of frames that end with each hop; silence comes before the first."""
    padded = np.concatenate([np.zeros(FRAMING.window - FRAMING.hop), samples])
    starts = range(0, len(samples), FRAMING.hop)
    frames = np.stack([padded[start : start + FRAMING.window] for start in starts])
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(FRAMING.window) / FRAMING.window)
    power = np.abs(np.fft.rfft(frames * hann)) ** 2
    return np.log(power[:, 1:-1] @ mel_filters(FRAMING).astype(np.float64) + FLOOR)


def hops_of(samples: np.ndarray) -> torch.Tensor:
    """With the silence before them."""
    silence = np.zeros((FRAMING.hops_before, FRAMING.hop))
    hops = np.concatenate([silence, samples.reshape(-1, FRAMING.hop)])
    return torch.from_numpy(hops.astype(np.float32))


@given(st.integers(0, 100), st.floats(-4, 0))
def test_energies_are_those_of_a_plain_fft(seed: int, loudness: float):
    draw = np.random.default_rng(seed)
    tone = np.sin(2 * np.pi * draw.uniform(100, 3900) * np.arange(20 * FRAMING.hop) / 8000)
    samples = (10**loudness * (tone / 2 + draw.normal(0, 0.1, len(tone)))).astype(np.float32)
    seen = LogMel(FRAMING).energies(hops_of(samples)).numpy()
    np.testing.assert_allclose(seen, by_fft(samples.astype(np.float64)), atol=5 * ROUNDING)


@given(st.floats(1e-6, 1e6))
def test_the_logarithm_is_within_its_bound(value: float):
    seen = float(logarithm(torch.tensor(value)))
    assert abs(seen - np.log(np.float32(value))) <= 5e-5


def test_a_tone_is_heard_in_the_band_around_it():
    middles = {}
    for hertz in (300.0, 1000.0, 3000.0):
        samples = 0.1 * np.sin(2 * np.pi * hertz * np.arange(10 * FRAMING.hop) / 8000)
        energies = LogMel(FRAMING).energies(hops_of(samples))[5]
        middles[hertz] = int(energies.argmax())
    filters = mel_filters(FRAMING)
    bins = np.arange(1, FRAMING.window // 2) * 8000 / FRAMING.window
    for hertz, band in middles.items():
        centre = float((filters[:, band] * bins).sum() / filters[:, band].sum())
        assert abs(centre - hertz) < 0.1 * hertz


def test_training_sound_has_mean_zero_and_deviation_one_in_every_band():
    draw = torch.Generator().manual_seed(0)
    recordings = [0.1 * torch.randn(time, FRAMING.hop, generator=draw) for time in (40, 60)]
    features = LogMel(FRAMING)
    features.normalise_by(recordings)
    silence = torch.zeros(FRAMING.hops_before, FRAMING.hop)
    heard = torch.cat([features(torch.cat([silence, rows])[None])[0] for rows in recordings])
    torch.testing.assert_close(heard.mean(dim=0), torch.zeros(40), atol=1e-3, rtol=0)
    torch.testing.assert_close(heard.std(dim=0), torch.ones(40), atol=1e-3, rtol=0)

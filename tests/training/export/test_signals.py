"""Every way of reading rows is the same in torch and in the graph, ragged and in pieces."""

from typing import get_args

import numpy as np
import pytest
import torch

from service.artifact.scaling import Scaling
from training.config import Cell, ModelConfig, Reading
from training.export.claims import CHUNKS_EQUAL_WHOLE, PADDING_CHANGES_NOTHING
from training.export.networks import build_graph
from training.export.verify import verify
from training.nn.signals import SignalNetwork, fourier, seen_from_root
from training.nn.strokes import STATE_SIZES, read_strokes

FEATURES = 12
SCALING = Scaling(
    mean=tuple(np.linspace(-3, 8, FEATURES).tolist()),
    deviation=tuple(np.linspace(0.5, 2, FEATURES).tolist()),
)
PLAIN = Scaling(mean=(0.0,) * 3, deviation=(1.0,) * 3)
VALUE = Scaling(mean=(60.0,), deviation=(50.0,))


STROKES = Scaling(mean=SCALING.mean[:3], deviation=SCALING.deviation[:3])


def network(
    reading: Reading, cell: Cell = "gru", *, layers: int = 1, outputs: Scaling = PLAIN
) -> SignalNetwork:
    torch.manual_seed(0)
    config = ModelConfig(cell=cell, hidden=10, layers=layers, reading=reading, baseline_steps=20)
    return made_by(config, outputs)


def made_by(config: ModelConfig, outputs: Scaling = PLAIN) -> SignalNetwork:
    scaling = STROKES if config.reading == "strokes" else SCALING
    paces = (0.5,) * len(scaling.mean)
    return SignalNetwork(config, scaling, outputs, paces=paces, name="logits").eval()


@pytest.mark.parametrize("reading", get_args(Reading))
def test_a_row_is_read_alike_in_both(reading: Reading):
    made = network(reading)
    seen = verify(made, build_graph(made))
    assert seen[PADDING_CHANGES_NOTHING] == 0.0
    assert seen[CHUNKS_EQUAL_WHOLE] == 0.0


@pytest.mark.parametrize("reading", get_args(Reading))
def test_answers_are_read_off_all_outputs_alike_in_both(reading: Reading):
    torch.manual_seed(0)
    config = ModelConfig("gru", 10, reading=reading, baseline_steps=20, answers_by="all")
    made = made_by(config)
    seen = verify(made, build_graph(made))
    assert seen[PADDING_CHANGES_NOTHING] == 0.0
    assert seen[CHUNKS_EQUAL_WHOLE] == 0.0


def test_a_digit_reads_alike_wherever_and_however_large_it_is_drawn():
    points = torch.randn(1, 30, 3, generator=torch.Generator().manual_seed(2)).cumsum(dim=1)
    points[..., 2] = 0
    moved = points * torch.tensor([2.0, 2.0, 1.0]) + torch.tensor([7.0, -3.0, 0.0])
    zeros = tuple(torch.zeros(1, 1, size) for size in STATE_SIZES.values())
    here, there = (read_strokes(way, None, zeros).read for way in (points, moved))
    size = slice(9, 10)
    torch.testing.assert_close(there[:, 1:, size], 2 * here[:, 1:, size], rtol=1e-3, atol=1e-3)
    # The first points are of hardly any size; a direction knows a little of how long the way is.
    torch.testing.assert_close(there[:, 5:, :5], here[:, 5:, :5], rtol=1e-3, atol=1e-3)
    assert (here[:, 0, [0, 1, 5, 6, 7, 8]] == 0).all()


def test_layers_add_to_what_they_read_and_are_normalised_where_that_is_asked_for():
    config = ModelConfig(cell="ln_gru", hidden=10, layers=3, residual=True, layer_norm=True)
    made = SignalNetwork(config, SCALING, PLAIN, paces=(0.5,) * FEATURES, name="logits").eval()
    assert made.stack.residual
    assert len(made.stack.norms) == 3
    assert verify(made, build_graph(made))[CHUNKS_EQUAL_WHOLE] == 0.0


def test_a_value_comes_out_in_its_own_units():
    made = network("plain", "lstm", layers=2, outputs=VALUE)
    verify(made, build_graph(made))
    with torch.no_grad():
        values = made(torch.randn(2, 5, FEATURES)).outputs
    assert values.shape == (2, 5, 1)
    assert 10 < float(values.mean()) < 110


def test_the_shape_of_a_spectrum_is_the_same_at_any_gain():
    frames = np.random.default_rng(0).normal(size=(1, 4, 64)).astype(np.float32)
    cosines, sines = fourier(64)
    expected = np.abs(np.fft.rfft(frames * np.hanning(64)))[..., 1:] ** 2
    np.testing.assert_allclose((frames @ cosines) ** 2 + (frames @ sines) ** 2, expected, rtol=1e-3)
    torch.manual_seed(0)
    scaling = Scaling(mean=(0.0,) * 64, deviation=(1.0,) * 64)
    config = ModelConfig(cell="gru", hidden=4, reading="spectrum")
    made = SignalNetwork(config, scaling, PLAIN, paces=(1.0,) * 64, name="logits").eval()
    with torch.no_grad():
        quiet, loud = (made(torch.from_numpy(frames * gain)).outputs for gain in (1.0, 30.0))
    torch.testing.assert_close(quiet, loud, atol=1e-4, rtol=0)


def test_a_skeleton_is_seen_from_its_first_joint():
    rows = np.arange(12, dtype=np.float32)[None]
    assert (rows @ seen_from_root(12)).tolist() == [[0, 0, 0, 3, 3, 3, 6, 6, 6, 9, 9, 9]]
    made = network("skeleton")
    alike = SCALING.model_copy(update={"deviation": (1.0,) * FEATURES})
    made.deviation.copy_(torch.tensor(alike.deviation))
    steps = torch.randn(1, 6, FEATURES)
    elsewhere = steps + torch.tensor([5.0, -2.0, 1.0]).repeat(4)
    state = tuple(torch.zeros_like(part) for part in made.initial_state(1))
    before = [(rows[:, :1] - made.mean) / made.deviation for rows in (steps, elsewhere)]
    with torch.no_grad():
        outputs = [
            made(rows, None, (state[0], first.transpose(0, 1))).outputs
            for rows, first in zip((steps, elsewhere), before, strict=True)
        ]
    torch.testing.assert_close(*outputs, atol=1e-5, rtol=0)

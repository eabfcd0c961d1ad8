"""Bands: the season before is where they begin, in any size, and none crosses another."""

import torch

from training.config import ModelConfig
from training.export.claims import CHUNKS_EQUAL_WHOLE, PADDING_CHANGES_NOTHING
from training.export.networks import build_graph
from training.export.verify import verify
from training.nn.bands import BandForecaster, pinball, squareplus


def forecaster(quantiles: tuple[float, ...] = (0.1, 0.5, 0.9), horizon: int = 8) -> BandForecaster:
    torch.manual_seed(0)
    config = ModelConfig(cell="gru", hidden=10, recent_steps=12, seasons=(6,), quantiles=quantiles)
    network = BandForecaster(config, horizon).eval()
    torch.nn.init.normal_(network.head.weight, std=0.5)
    return network


def series(rows: int, steps: int) -> torch.Tensor:
    return 100 + 10 * torch.randn(rows, steps, 1, generator=torch.Generator().manual_seed(1))


def test_the_graph_gives_the_same_bands_ragged_and_in_pieces():
    network = forecaster((0.05, 0.1, 0.5, 0.9))
    seen = verify(network, build_graph(network))
    assert seen[PADDING_CHANGES_NOTHING] == 0.0
    assert seen[CHUNKS_EQUAL_WHOLE] == 0.0


def test_untrained_it_says_that_the_season_before_comes_again():
    network = forecaster()
    torch.nn.init.zeros_(network.head.weight)
    values = series(2, 30)
    with torch.no_grad():
        median = network(values).outputs[:, -1, 1, :, 0]
    expected = values[:, [24, 25, 26, 27, 28, 29, 24, 25], 0]
    torch.testing.assert_close(median, expected, atol=1e-4, rtol=0)


def test_bands_never_cross():
    with torch.no_grad():
        bands = forecaster((0.05, 0.1, 0.5, 0.9))(series(3, 40)).outputs
    assert bands.shape == (3, 40, 4, 8, 1)
    assert (bands.diff(dim=2) > 0).all()


def test_another_unit_is_the_same_forecast_in_that_unit():
    network, values = forecaster(), series(2, 30)
    with torch.no_grad():
        # A power of two is exact; the first rows' windows have zeros in them, later ones have not.
        one, thousand = (network(values * unit).outputs for unit in (1.0, 1024.0))
    torch.testing.assert_close(thousand, one * 1024, rtol=1e-5, atol=1e-2)


def test_a_constant_or_empty_past_is_no_division_by_zero():
    with torch.no_grad():
        for past in (torch.zeros(1, 20, 1), torch.full((1, 20, 1), 7.0)):
            assert forecaster()(past).outputs.isfinite().all()


def test_pinball_is_least_at_the_share_that_lies_below():
    came = torch.arange(101.0).view(-1, 1, 1, 1)
    losses = [float(pinball(came - guess, (0.9,)).mean()) for guess in range(101)]
    assert losses.index(min(losses)) == 90
    error = torch.tensor([[[-2.0, 2.0]], [[-2.0, 2.0]]]).view(1, 1, 2, 2)
    torch.testing.assert_close(
        pinball(error, (0.1, 0.5)), torch.tensor([[[[1.8, 0.2], [1.0, 1.0]]]])
    )


def test_squareplus_is_above_zero_and_one_at_zero():
    values = squareplus(torch.tensor([-50.0, 0.0, 50.0]))
    assert (values > 0).all()
    assert values[1] == 1

"""Rows of differing length, padded to one shape, come out as each would alone."""

import pytest
import torch

from training.config import Cell
from training.nn.cells import NUM_GATES, Decay
from training.nn.recurrent import RecurrentStack
from training.nn.scan import scan

CELLS: tuple[Cell, ...] = tuple(NUM_GATES)
LENGTHS = torch.tensor([6, 1, 4])
ROUNDING = 1e-6


def stack(cell: Cell, *, bidirectional: bool = False, layers: int = 2) -> RecurrentStack:
    torch.manual_seed(0)
    return RecurrentStack(cell, 3, 5, layers=layers, bidirectional=bidirectional).eval()


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("bidirectional", [False, True])
def test_a_padded_row_is_as_if_alone(cell: Cell, bidirectional: bool):
    layers = stack(cell, bidirectional=bidirectional)
    x = torch.randn(3, 6, 3)
    together = layers(x, LENGTHS)
    for row, length in enumerate(LENGTHS):
        alone = layers(x[row : row + 1, :length])
        seen = together.outputs[row : row + 1, :length]
        torch.testing.assert_close(seen, alone.outputs, atol=ROUNDING, rtol=0)
        for part, expected in zip(together.state, alone.state, strict=True):
            torch.testing.assert_close(part[:, row : row + 1], expected, atol=ROUNDING, rtol=0)


@pytest.mark.parametrize("cell", CELLS)
def test_what_is_in_the_padding_changes_nothing(cell: Cell):
    layers = stack(cell, bidirectional=True)
    x = torch.randn(3, 6, 3)
    clean = layers(x, LENGTHS)
    dirty = x.clone()
    dirty[torch.arange(6) >= LENGTHS.unsqueeze(-1)] = torch.nan
    seen = layers(dirty, LENGTHS)
    assert torch.equal(seen.outputs, clean.outputs)
    assert all(torch.equal(a, b) for a, b in zip(seen.state, clean.state, strict=True))


def test_outputs_past_a_rows_end_are_zero():
    outputs = stack("lstm")(torch.randn(3, 6, 3), LENGTHS).outputs
    assert (outputs[1, 1:] == 0).all()
    assert (outputs[2, 4:] == 0).all()


@pytest.mark.parametrize("cell", CELLS)
def test_two_chunks_with_the_state_between_are_the_whole(cell: Cell):
    layers = stack(cell)
    x = torch.randn(2, 6, 3)
    whole = layers(x)
    first = layers(x[:, :4])
    second = layers(x[:, 4:], state=first.state)
    seen = torch.cat([first.outputs, second.outputs], dim=1)
    torch.testing.assert_close(seen, whole.outputs, atol=ROUNDING, rtol=0)
    for part, expected in zip(second.state, whole.state, strict=True):
        torch.testing.assert_close(part, expected, atol=ROUNDING, rtol=0)


@pytest.mark.parametrize("cell", CELLS)
def test_gradients_reach_every_weight_and_the_first_step(cell: Cell):
    layers = stack(cell, bidirectional=True)
    x = torch.randn(3, 6, 3, requires_grad=True)
    layers(x, LENGTHS).outputs[:, -1].sum().backward()
    assert all(weight.grad is not None for weight in layers.parameters())
    assert x.grad is not None
    assert (x.grad[0, 0] != 0).any()


@pytest.mark.parametrize("cell", CELLS)
def test_dropout_is_between_layers_and_in_training_only(cell: Cell):
    layers = RecurrentStack(cell, 3, 5, layers=2, dropout=0.5)
    x = torch.randn(2, 6, 3)
    assert not torch.equal(layers(x).outputs, layers(x).outputs)
    layers.eval()
    assert torch.equal(layers(x).outputs, layers(x).outputs)


def test_a_normalised_stack_is_zero_past_the_end_too():
    layers = RecurrentStack("gru", 3, 5, layer_norm=True)
    torch.nn.init.ones_(layers.norm(0).bias)
    assert not layers(torch.randn(3, 6, 3), LENGTHS).outputs[1, 1:].any()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_minimal_cells_add_up_in_float32_whatever_their_gates_are_in(dtype: torch.dtype):
    kept, added = torch.full((1, 512, 1), 0.999, dtype=dtype), torch.ones(1, 512, 1, dtype=dtype)
    states = scan(Decay(kept, added), torch.zeros(1, 1))
    exact = scan(Decay(kept.double(), added.double()), torch.zeros(1, 1).double())
    torch.testing.assert_close(states, exact.float(), rtol=1e-5, atol=0)


@pytest.mark.parametrize("cell", CELLS)
def test_every_cell_trains_at_mixed_precision(cell: Cell):
    layers = RecurrentStack(cell, 3, 8, layers=2, bidirectional=True, combine="sum", residual=True)
    x = torch.randn(3, 6, 3)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        outputs = layers(x, LENGTHS).outputs
    outputs.float().sum().backward()
    assert all(weight.grad is not None for weight in layers.parameters())
    exact = layers(x, LENGTHS).outputs
    torch.testing.assert_close(outputs.float(), exact, atol=0.05, rtol=0.05)  # 8 bits of mantissa

"""All steps at once are the steps one after the other, forward and back."""

import pytest
import torch
from torch import Tensor

from training.nn.cells import Decay
from training.nn.scan import scan


def drawn(steps: int) -> tuple[Tensor, Tensor, Tensor]:
    torch.manual_seed(steps)
    kept = torch.rand(2, steps, 3, dtype=torch.float64, requires_grad=True)
    added = torch.randn(2, steps, 3, dtype=torch.float64, requires_grad=True)
    return kept, added, torch.randn(2, 3, dtype=torch.float64, requires_grad=True)


def one_by_one(kept: Tensor, added: Tensor, state: Tensor) -> Tensor:
    states = list[Tensor]()
    for k, a in zip(kept.unbind(1), added.unbind(1), strict=True):
        state = k * state + a
        states.append(state)
    return torch.stack(states, dim=1)


@pytest.mark.parametrize("steps", [1, 2, 3, 4, 7, 8, 9, 33])
def test_a_scan_of_any_length_is_its_steps(steps: int):
    kept, added, initial = drawn(steps)
    seen, expected = scan(Decay(kept, added), initial), one_by_one(kept, added, initial)
    torch.testing.assert_close(seen, expected, atol=1e-12, rtol=1e-12)
    weights = torch.randn_like(seen)
    ours = torch.autograd.grad((seen * weights).sum(), (kept, added, initial))
    theirs = torch.autograd.grad((expected * weights).sum(), (kept, added, initial))
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other, atol=1e-12, rtol=1e-12)


def test_nothing_is_lost_over_a_long_sequence():
    """A float32 sum of 4,096 logarithms is off by 3e-5; pairs are not."""
    torch.manual_seed(0)
    decay = Decay(torch.rand(1, 4096, 8) * 0.2 + 0.8, torch.rand(1, 4096, 8))
    exact = scan(Decay(decay.kept.double(), decay.added.double()), torch.zeros(1, 8).double())
    seen = scan(decay, torch.zeros(1, 8))
    torch.testing.assert_close(seen.double(), exact, rtol=1e-6, atol=0)

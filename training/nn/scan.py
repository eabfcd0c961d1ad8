"""All steps of h_t = kept_t * h_{t-1} + added_t at once: log2(time) rounds in place of time.

Two steps in a row are one step of the same kind, kept = k2 k1 and added = k2 a1 + a2, so that any
bracketing gives the same states (Blelloch 1990, "Prefix sums and their applications"). The paper
of the minimal cells sums logarithms instead; pairs need no logarithm, hold for states of either
sign, and lose no digits over a long sequence.
"""

from typing import Any

import torch
from torch import Tensor

from training.nn.cells import Decay


def scan(decay: Decay, initial: Tensor) -> Tensor:
    """The state after every step, `[batch, time, hidden]`, from `initial [batch, hidden]`."""
    # Rounding adds up over the steps: at half precision only what leads here is computed.
    dtype = torch.promote_types(decay.kept.dtype, torch.float32)
    kept, added = decay.kept.to(dtype), decay.added.to(dtype)
    first = kept[:, :1] * initial.unsqueeze(1) + added[:, :1]
    return _Scan.apply(kept, torch.cat([first, added[:, 1:]], dim=1))  # pyright: ignore[reportReturnType]


class _Scan(torch.autograd.Function):
    """Keeps the states and nothing between them: the way back is the same scan from the end."""

    @staticmethod
    def forward(ctx: Any, kept: Tensor, added: Tensor) -> Tensor:
        states = _states(kept, added)
        ctx.save_for_backward(kept, states)
        return states

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor, Tensor]:
        """What reaches step t is its own and what step t + 1 passes on, times kept_{t+1}."""
        kept, states = ctx.saved_tensors
        last = torch.zeros_like(kept[:, :1])
        passed = torch.cat([kept[:, 1:], last], dim=1).flip(1)
        reaching = _states(passed, grad_outputs[0].flip(1)).flip(1)
        # The first step reads no state here: `scan` has added the initial one.
        before = torch.cat([last, states[:, :-1]], dim=1)
        return reaching * before, reaching


def _states(kept: Tensor, added: Tensor) -> Tensor:
    """From the zero state. Pairs first, by the same function; then the steps between them."""
    if kept.shape[1] == 1:
        return added
    kept_even, kept_odd = kept[:, 0::2], kept[:, 1::2]
    added_even, added_odd = added[:, 0::2], added[:, 1::2]
    pairs = kept_odd.shape[1]
    states = torch.empty_like(added)
    states[:, 1::2] = _states(
        kept_odd * kept_even[:, :pairs],
        torch.addcmul(added_odd, kept_odd, added_even[:, :pairs]),
    )
    states[:, :1] = added[:, :1]
    between = states[:, 1:-1:2]
    states[:, 2::2] = torch.addcmul(added_even[:, 1:], kept_even[:, 1:], between)
    return states

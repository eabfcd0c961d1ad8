"""A torch network's weights as the NumPy references take them, and their gradients likewise."""

import numpy as np
import torch
from torch import Tensor

from training.config import Cell
from training.nn.cells import NORMALISED, NUM_GATES
from training.nn.recurrent import RecurrentStack
from training.nn.reference.cells import CELLS
from training.nn.reference.norm import NormWeights
from training.nn.reference.recurrence import Array, Weights
from training.nn.reference.stack import Stack

EVERY_CELL: tuple[Cell, ...] = tuple(NUM_GATES)


def mirrored(stack: RecurrentStack) -> Stack:
    """The same network, to be run by `run_stack`."""
    return Stack(
        cell=CELLS[stack.cell],
        layers=tuple(
            tuple(
                {name: array(weight) for name, weight in named_weights(stack, layer, side).items()}
                for side in range(stack.directions)
            )
            for layer in range(stack.num_layers)
        ),
        combine=stack.combine,
        residual=stack.residual,
        norms=tuple(NormWeights(array(norm.weight), array(norm.bias)) for norm in stack.norms),
    )


def named_weights(stack: RecurrentStack, layer: int, side: int) -> dict[str, Tensor]:
    """torch's tensors of one layer in one direction, by the names of the reference."""
    weights = stack.layer(layer).weights(side)
    named = {
        "W": weights.input,
        "R": weights.recurrent,
        "b": weights.input_bias,
        "d": weights.recurrent_bias,
    }
    if (norms := weights.norms) is not None:
        named |= {
            "gx": norms.input,
            "gh": norms.recurrent,
            "gc": norms.memory,
            "s": norms.memory_bias,
        }
    return {name: weight for name, weight in named.items() if weight is not None}


def gradients(stack: RecurrentStack, layer: int, side: int) -> Weights:
    """What autograd left at the tensors of `named_weights`."""
    return {
        name: array(weight.grad)
        for name, weight in named_weights(stack, layer, side).items()
        if weight.grad is not None
    }


def array(tensor: Tensor) -> Array:
    return tensor.detach().cpu().numpy().astype(np.float64)


def stir(stack: RecurrentStack) -> None:
    """Gains and shifts inside of cells that are not one and zero."""
    for name, weight in stack.named_parameters():
        if name.endswith("_gain"):
            torch.nn.init.normal_(weight, 1.0, 0.3)
        elif stack.cell in NORMALISED and name.endswith("_bias"):
            torch.nn.init.normal_(weight, 0.0, 0.3)


def double(stack: RecurrentStack, *, seed: int = 0) -> RecurrentStack:
    """In float64, with gains and shifts of its norms that are not one and zero."""
    torch.manual_seed(seed)
    for norm in stack.norms:
        torch.nn.init.normal_(norm.weight, 1.0, 0.3)
        torch.nn.init.normal_(norm.bias, 0.0, 0.3)
    stir(stack)
    return stack.double().eval()

"""The same weights in another order: torch stacks gates one way, ONNX another."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from training.config import Cell
from training.export.draft import Attribute
from training.nn.cells import CellWeights
from training.nn.recurrent import RecurrentStack

OPERATORS: Mapping[Cell, str] = {"gru": "GRU", "gru_cho": "GRU", "lstm": "LSTM"}
"""The cells that are one fused operator; `scanned.py` writes the others out as loops. There is an
operator for the vanilla cell too, but ONNX Runtime's is two to four times slower on a processor
than its loop, and gives one row alone other bits than the same row among others."""

_TORCH_GATES: Mapping[Cell, tuple[int, ...]] = {
    "gru": (1, 0, 2),  # ONNX has z r n, torch r z n
    "gru_cho": (1, 0, 2),
    "lstm": (0, 3, 1, 2),  # ONNX has i o f g, torch i f g o
}
"""For every gate in ONNX's order, its place in torch's."""


@dataclass(frozen=True, slots=True)
class LayerWeights:
    """One layer as an ONNX operator takes it."""

    input: NDArray[np.float32]
    """`[directions, gates * hidden, features]`"""
    recurrent: NDArray[np.float32]
    """`[directions, gates * hidden, hidden]`"""
    bias: NDArray[np.float32] | None
    """`[directions, 2 * gates * hidden]`: of the input, then of the state."""


def layer_weights(stack: RecurrentStack, layer: int) -> LayerWeights:
    """The weights of `layer`, forward direction first."""
    sides = [stack.layer(layer).weights(side) for side in range(stack.directions)]
    gates = _TORCH_GATES[stack.cell]

    def each(part: str) -> NDArray[np.float32]:
        return np.stack([_in_onnx_order(getattr(side, part), gates) for side in sides])

    recurrent = each("recurrent")
    bias = None
    if sides[0].input_bias is not None:
        of_input = each("input_bias")
        one_bias = sides[0].recurrent_bias is None
        of_state = np.zeros_like(of_input) if one_bias else each("recurrent_bias")
        bias = np.concatenate([of_input, of_state], axis=1)
    return LayerWeights(each("input"), recurrent, bias)


def summed_bias(weights: CellWeights) -> NDArray[np.float32]:
    """`[gates * hidden]`: both biases, where a cell adds them before anything else."""
    parts = [weights.input_bias, weights.recurrent_bias]
    present = [array(part) for part in parts if part is not None]
    return sum(present, np.zeros(len(weights.input), np.float32))


def operator_attributes(stack: RecurrentStack) -> dict[str, Attribute]:
    """What the operator must be told beside its weights."""
    attributes: dict[str, Attribute] = {
        "hidden_size": stack.hidden,
        "direction": "bidirectional" if stack.directions == 2 else "forward",
    }
    if OPERATORS[stack.cell] == "GRU":
        attributes["linear_before_reset"] = int(stack.cell == "gru")
    return attributes


def array(tensor: Tensor) -> NDArray[np.float32]:
    return tensor.detach().cpu().numpy()


def _in_onnx_order(weight: Tensor, gates: tuple[int, ...]) -> NDArray[np.float32]:
    parts = np.split(array(weight), len(gates), axis=0)
    return np.concatenate([parts[gate] for gate in gates], axis=0)

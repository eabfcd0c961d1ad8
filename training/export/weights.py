"""The same weights in another order: torch stacks gates one way, ONNX another."""

from dataclasses import dataclass
from typing import cast

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from training.config import Cell
from training.export.draft import Attribute
from training.nn.recurrent import RecurrentStack

OPERATORS: dict[Cell, str] = {"rnn_tanh": "RNN", "rnn_relu": "RNN", "gru": "GRU", "lstm": "LSTM"}

_TORCH_GATES: dict[Cell, tuple[int, ...]] = {
    "rnn_tanh": (0,),
    "rnn_relu": (0,),
    "gru": (1, 0, 2),  # ONNX has z r n, torch r z n
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
    suffixes = ("", "_reverse") if stack.fused.bidirectional else ("",)

    def both(name: str) -> NDArray[np.float32]:
        parts = [getattr(stack.fused, f"{name}_l{layer}{suffix}") for suffix in suffixes]
        return np.stack([_in_onnx_order(cast("Tensor", part), stack.cell) for part in parts])

    bias = None
    if stack.fused.bias:
        bias = np.concatenate([both("bias_ih"), both("bias_hh")], axis=1)
    return LayerWeights(both("weight_ih"), both("weight_hh"), bias)


def operator_attributes(stack: RecurrentStack) -> dict[str, Attribute]:
    """What the operator must be told beside its weights."""
    directions = 2 if stack.fused.bidirectional else 1
    attributes: dict[str, Attribute] = {
        "hidden_size": stack.fused.hidden_size,
        "direction": "bidirectional" if stack.fused.bidirectional else "forward",
    }
    match stack.cell:
        case "gru":
            attributes["linear_before_reset"] = 1
        case "rnn_relu":
            attributes["activations"] = ["Relu"] * directions
        case "rnn_tanh" | "lstm":
            pass
    return attributes


def _in_onnx_order(weight: Tensor, cell: Cell) -> NDArray[np.float32]:
    gates = _TORCH_GATES[cell]
    parts = np.split(weight.detach().cpu().numpy(), len(gates), axis=0)
    return np.concatenate([parts[gate] for gate in gates], axis=0)

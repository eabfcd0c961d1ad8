"""Weights at rest take two bytes each; computed is in float32 all the same.

A network is first rounded to what two bytes hold, so that what is verified and measured is what is
published, to the bit. The runtime widens the weights once, at load.
"""

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import nn

_SMALLEST = 1024
"""Numbers of a tensor that is worth a node of its own."""


def halved(network: nn.Module) -> None:
    """Round every weight to float16, in place."""
    with torch.no_grad():
        for weight in network.parameters():
            weight.copy_(weight.half().float())


def in_halves(model: onnx.ModelProto) -> onnx.ModelProto:
    """The same graph with its large float32 constants kept as float16.

    Raises ValueError where a constant would change by that.
    """
    kept = onnx.ModelProto()
    kept.CopyFrom(model)
    widened: list[onnx.NodeProto] = []
    for tensor in kept.graph.initializer:
        values = numpy_helper.to_array(tensor)
        if values.dtype != np.float32 or values.size < _SMALLEST:
            continue
        halves = values.astype(np.float16)
        if not np.array_equal(halves.astype(np.float32), values):
            raise ValueError(f"{tensor.name} is not of numbers that two bytes hold")
        name = tensor.name
        tensor.CopyFrom(numpy_helper.from_array(halves, f"{name}_half"))
        cast = helper.make_node("Cast", [f"{name}_half"], [name], name=f"{name}_widened")
        cast.attribute.append(helper.make_attribute("to", TensorProto.FLOAT))
        widened.append(cast)
    nodes = [*widened, *kept.graph.node]
    del kept.graph.node[:]
    kept.graph.node.extend(nodes)
    onnx.checker.check_model(kept, full_check=True)
    return kept

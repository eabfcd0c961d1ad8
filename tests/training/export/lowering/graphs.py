"""Finished graphs to lower, and what both sides of a comparison say."""

import numpy as np
import onnx
import torch

from service.artifact.manifest import GraphSpec
from training.config import Cell
from training.export.graph import Graph, build_graph
from training.nn.recurrent import RecurrentStack
from training.runner import Array, Ran, Runner


def stack_graph(
    cell: Cell, *, layers: int = 1, bidirectional: bool = False, bias: bool = True
) -> Graph:
    """Layers of 12 units over inputs of five numbers without bounds."""
    torch.manual_seed(0)
    stack = RecurrentStack(cell, 5, 12, layers=layers, bidirectional=bidirectional, bias=bias)
    return build_graph(stack.eval())


def whole_graph(graph: Graph) -> Graph:
    """The same from the zero state, which nobody asks for: what a whole sequence goes through."""
    model = onnx.ModelProto()
    model.CopyFrom(graph.model)
    kept = [
        node
        for node in model.graph.node
        if not {name for pair in graph.spec.state for name in (pair.input, pair.output)}
        & {*node.input, *node.output}
        or node.op_type in ("LSTM", "GRU", "RNN")
    ]
    for node in kept:
        if node.op_type in ("LSTM", "GRU", "RNN"):
            del node.input[5:], node.output[1:]
    del model.graph.node[:]
    model.graph.node.extend(kept)
    for values, states in (
        (model.graph.input, {pair.input for pair in graph.spec.state}),
        (model.graph.output, {pair.output for pair in graph.spec.state}),
    ):
        left = [value for value in values if value.name not in states]
        del values[:]
        values.extend(left)
    onnx.checker.check_model(model, full_check=True)
    return Graph(model, graph.spec.model_copy(update={"state": ()}))


def runner(model: onnx.ModelProto, spec: GraphSpec) -> Runner:
    return Runner(model.SerializeToString(), spec)


def numbers(draw: np.random.Generator, shape: tuple[int, ...]) -> Array:
    """For `stack_graph`."""
    return draw.normal(0, 1, (*shape, 5)).astype(np.float32)


def furthest(seen: Ran, expected: Ran) -> float:
    """The largest difference of outputs and states."""
    pairs = [(seen.outputs, expected.outputs), *zip(seen.state, expected.state, strict=True)]
    return max(float(np.abs(one - other).max()) for one, other in pairs)


def operators(model: onnx.ModelProto) -> set[str]:
    return {node.op_type for node in model.graph.node}

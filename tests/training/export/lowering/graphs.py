"""Finished graphs to lower, and what both sides of a comparison say."""

import numpy as np
import onnx
import torch

from service.artifact.graphs import GraphSpec
from training.config import Cell
from training.export.draft import Draft
from training.export.graph import Graph, build_graph
from training.export.recurrent import add_layers
from training.nn.recurrent import RecurrentStack
from training.runner import Array, Ran, Runner


def stack_graph(
    cell: Cell,
    *,
    layers: int = 1,
    bidirectional: bool = False,
    bias: bool = True,
    residual: bool = False,
    layer_norm: bool = False,
) -> Graph:
    """Layers of 12 units over inputs of five numbers without bounds."""
    torch.manual_seed(0)
    stack = RecurrentStack(
        cell,
        5,
        12,
        layers=layers,
        bidirectional=bidirectional,
        bias=bias,
        residual=residual,
        layer_norm=layer_norm,
    )
    return build_graph(stack.eval())


def whole_graph(cell: Cell, *, layers: int = 1, bidirectional: bool = False) -> Graph:
    """The same from the zero state, which nobody asks for: what a whole sequence goes through."""
    torch.manual_seed(0)
    stack = RecurrentStack(cell, 5, 12, layers=layers, bidirectional=bidirectional).eval()
    spec = stack_graph(cell, layers=layers, bidirectional=bidirectional).spec
    spec, draft = spec.model_copy(update={"state": ()}), Draft()
    steps, _ = add_layers(draft, stack, draft.transpose("values", "by_time", (1, 0, 2)))
    draft.transpose(steps, "outputs", (1, 0, 2))
    return Graph(draft.finish(spec), spec)


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

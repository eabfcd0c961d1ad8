"""What verify is for: each way in which a graph can be wrong is caught."""

from collections.abc import Callable

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from tests.training.export.test_graph import classifier, forecaster, language_model
from training.export.claims import VerificationError
from training.export.graph import Graph, Network, build_graph
from training.export.verify import verify


def change_constant(graph: Graph, name: str, change: Callable[[np.ndarray], np.ndarray]) -> None:
    for tensor in graph.model.graph.initializer:
        if tensor.name == name:
            changed = change(numpy_helper.to_array(tensor))
            tensor.CopyFrom(numpy_helper.from_array(np.ascontiguousarray(changed), name))
            return
    raise AssertionError(name)


def node(graph: Graph, operator: str) -> onnx.NodeProto:
    return next(n for n in graph.model.graph.node if n.op_type == operator)


def swap_first_gates(weights: np.ndarray) -> np.ndarray:
    first, second, *rest = np.split(weights, 4, axis=1)
    return np.concatenate([second, first, *rest], axis=1)


def swapped_gates() -> tuple[Network, Graph]:
    network = language_model()
    graph = build_graph(network)
    change_constant(graph, "layer0_input_weights", swap_first_gates)
    return network, graph


def forgotten_lengths() -> tuple[Network, Graph]:
    network = language_model()
    graph = build_graph(network)
    node(graph, "LSTM").input[4] = ""
    return network, graph


def state_of_another_layer() -> tuple[Network, Graph]:
    network = language_model()
    graph = build_graph(network)
    node(graph, "Concat").input.reverse()
    return network, graph


def reset_after_reset() -> tuple[Network, Graph]:
    network = language_model("gru")
    graph = build_graph(network)
    for attribute in node(graph, "GRU").attribute:
        if attribute.name == "linear_before_reset":
            attribute.i = 0
    return network, graph


def frozen_time() -> tuple[Network, Graph]:
    """The exporter's old mistake: the example's length, taken for every sequence's."""
    network = language_model()
    graph = build_graph(network)
    scores = node(graph, "MatMul")
    frozen = helper.make_node("Reshape", [scores.input[0], "frozen"], ["frozen_outputs"])
    graph.model.graph.initializer.append(
        numpy_helper.from_array(np.array([5, -1, 24], np.int64), "frozen")
    )
    scores.input[0] = "frozen_outputs"
    nodes = list(graph.model.graph.node)
    nodes.insert(nodes.index(scores), frozen)
    del graph.model.graph.node[:]
    graph.model.graph.node.extend(nodes)
    return network, graph


def declared_time() -> tuple[Network, Graph]:
    network = language_model()
    graph = build_graph(network)
    graph.model.graph.input[0].type.tensor_type.shape.dim[1].dim_value = 5
    return network, graph


def newest_opset() -> tuple[Network, Graph]:
    network = language_model()
    graph = build_graph(network)
    graph.model.opset_import[0].version = 22
    return network, graph


def recent_rows_of_the_batch() -> tuple[Network, Graph]:
    """Right for full rows; ragged ones would carry their neighbour's end."""
    network = forecaster()
    graph = build_graph(network)
    change_constant(graph, "recent_offsets", lambda offsets: np.maximum(offsets - 1, 0))
    return network, graph


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        (swapped_gates, "onnx_equals_torch"),
        (forgotten_lengths, "onnx_equals_torch"),
        (state_of_another_layer, "onnx_equals_torch"),
        (reset_after_reset, "onnx_equals_torch"),
        (recent_rows_of_the_batch, "onnx_equals_torch"),
        (frozen_time, "refuses the graph"),
        (declared_time, "tokens is declared"),
        (newest_opset, "opset 22"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_wrong_graph_is_refused(broken: Callable[[], tuple[Network, Graph]], said: str):
    network, graph = broken()
    with pytest.raises(VerificationError, match=said):
        verify(network, graph)


@pytest.mark.slow
def test_attention_that_sees_padding_is_refused():
    """One row's padding would change the mean that its neighbours' lengths decide."""
    network = classifier()
    graph = build_graph(network)
    softmax = node(graph, "Softmax")
    where = next(n for n in graph.model.graph.node if softmax.input[0] in n.output)
    softmax.input[0] = where.input[2]  # the scores before the mask
    with pytest.raises(VerificationError, match="onnx_equals_torch"):
        verify(network, graph)


def test_every_weight_of_another_network_is_another_network():
    graph = build_graph(language_model())
    other = language_model()
    other.head.bias.data += 1e-3
    with pytest.raises(VerificationError, match="onnx_equals_torch"):
        verify(other, graph)

"""Every cell, direction, depth and bias: the graph built from the weights is torch, packed."""

from collections import Counter
from itertools import product

import numpy as np
import pytest
import torch

from service.artifact.scaling import Scaling
from training.config import Cell, ModelConfig
from training.export.claims import PADDING_CHANGES_NOTHING
from training.export.graph import Graph, Network, build_graph
from training.export.verify import ONNX_EQUALS_TORCH, verify
from training.nn.models import Forecaster, LanguageModel, SequenceClassifier
from training.nn.recurrent import RecurrentStack
from training.runner import Runner

CELLS: tuple[Cell, ...] = ("rnn_tanh", "rnn_relu", "lstm", "gru")
COMBINATIONS = list(product(CELLS, (False, True), (1, 2, 3), (True, False)))
ROUNDING = 2e-6
"""float32 through three layers of 64 steps; usually below 1e-6."""


def language_model(cell: Cell = "lstm", layers: int = 2) -> LanguageModel:
    torch.manual_seed(0)
    config = ModelConfig(cell=cell, hidden=24, layers=layers, embedding=6)
    return LanguageModel(config, 13).eval()


def classifier(heads: int = 1, *, pools_tokens: bool = False) -> SequenceClassifier:
    torch.manual_seed(0)
    config = ModelConfig(
        cell="lstm",
        hidden=10,
        layers=2,
        bidirectional=True,
        embedding=6,
        heads=heads,
        pools_tokens=pools_tokens,
    )
    return SequenceClassifier(config, 30, [0, 1, 1, 2], unknown=1).eval()


def forecaster() -> Forecaster:
    torch.manual_seed(0)
    config = ModelConfig(cell="gru", hidden=12, layers=2, recent_steps=6)
    scaling = Scaling(mean=(20.0, -3.0, 0.5), deviation=(8.0, 1.0, 0.1))
    network = Forecaster(config, scaling, horizon=4).eval()
    torch.nn.init.normal_(network.head.weight, std=0.3)
    return network


def operators(graph: Graph) -> Counter[str]:
    return Counter(node.op_type for node in graph.model.graph.node)


@pytest.mark.parametrize(("cell", "bidirectional", "layers", "bias"), COMBINATIONS)
def test_a_stack_is_torch_on_ragged_batches(
    cell: Cell, bidirectional: bool, layers: int, bias: bool
):
    torch.manual_seed(0)
    stack = RecurrentStack(cell, 5, 8, layers=layers, bidirectional=bidirectional, bias=bias).eval()
    seen = verify(stack, build_graph(stack))
    assert seen[ONNX_EQUALS_TORCH] < ROUNDING
    assert seen[PADDING_CHANGES_NOTHING] == 0.0


@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_a_causal_language_model_does_not_depend_on_company_or_chunks_by_one_bit(cell: Cell):
    network = language_model(cell)
    seen = verify(network, build_graph(network))
    assert seen.pop(ONNX_EQUALS_TORCH) < ROUNDING
    assert seen == dict.fromkeys(seen, 0.0)
    assert len(seen) == 3


def test_a_forecaster_does_not_depend_on_company_or_chunks_by_one_bit():
    network = forecaster()
    seen = verify(network, build_graph(network))
    assert seen.pop(ONNX_EQUALS_TORCH) < 1e-5  # the anchor's two products are folded into one
    assert seen == dict.fromkeys(seen, 0.0)


@pytest.mark.slow
@pytest.mark.parametrize(("heads", "pools_tokens"), [(1, False), (3, False), (2, True)])
def test_a_head_that_torch_exports_is_torch_with_fused_layers(heads: int, pools_tokens: bool):
    network = classifier(heads, pools_tokens=pools_tokens)
    graph = build_graph(network)
    assert verify(network, graph)[ONNX_EQUALS_TORCH] < ROUNDING
    assert operators(graph)["LSTM"] == 2
    assert not graph.spec.state
    assert [output.name for output in graph.spec.outputs] == ["logits", "attention"]
    assert graph.spec.outputs[1].shape == ("batch", "time", heads)


@pytest.mark.slow
def test_an_exported_graph_names_no_file_of_this_machine():
    for network in (language_model(), classifier(), forecaster()):
        model = build_graph(network).model.SerializeToString()
        assert b"site-packages" not in model
        assert b".py" not in model


@pytest.mark.parametrize("rows", [1, 2, 5, 32])
@pytest.mark.parametrize("steps", [1, 3, 16, 64])
def test_the_output_head_rounds_alike_for_every_shape(rows: int, steps: int):
    network = language_model()
    graph = build_graph(network)
    runner = Runner(graph.model.SerializeToString(), graph.spec)
    tokens = np.random.default_rng(0).integers(0, 13, (32, 64))
    expected = runner.run(tokens).outputs[:rows, :steps]
    assert np.array_equal(runner.run(tokens[:rows, :steps]).outputs, expected)


@pytest.mark.parametrize("network", [language_model("gru"), forecaster()])
def test_layers_are_fused_and_dimensions_symbolic(network: Network):
    graph = build_graph(network)
    assert operators(graph)["GRU"] == 2
    assert {entry.version for entry in graph.model.opset_import} == {17}
    shapes = {
        value.name: [dim.dim_param or dim.dim_value for dim in value.type.tensor_type.shape.dim]
        for value in (*graph.model.graph.input, *graph.model.graph.output)
    }
    assert shapes[graph.spec.input.name][:2] == ["batch", "time"]
    assert shapes["lengths"] == ["batch"]
    assert shapes["h_in"] == shapes["h_out"]

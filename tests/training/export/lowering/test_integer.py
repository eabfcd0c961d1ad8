"""Layers in integers are near the float32 ones, and owe nothing to a row's company."""

from itertools import product

import numpy as np
import pytest
import torch
from onnx import numpy_helper

from tests.training.export.lowering.graphs import (
    furthest,
    numbers,
    operators,
    runner,
    stack_graph,
    whole_graph,
)
from tests.training.export.lowering.test_step import reset_before
from tests.training.export.test_graph import classifier, forecaster, language_model
from training.config import Cell, ModelConfig
from training.export.claims import VerificationError
from training.export.graph import Graph, build_graph
from training.export.lowering.arithmetic import quantize_columns
from training.export.lowering.integer import integer_graph, integer_step_graph
from training.export.lowering.rewriting import LoweringError
from training.export.verify_lowered import Lowered, verify_integers
from training.nn.models import LanguageModel
from training.runner import Array

CELLS: tuple[Cell, ...] = ("rnn_tanh", "lstm", "gru")
NEAR = 0.05
"""Of states in (-1, 1), with weights that were never trained; a byte's step is 1/127."""


def tokens(draw: np.random.Generator, shape: tuple[int, ...]) -> Array:
    return draw.integers(0, 13, shape)


def lowered(graph: Graph) -> Lowered:
    whole = integer_graph(graph.model, graph.spec).SerializeToString()
    if not graph.spec.state:
        return Lowered(graph.spec, whole, None)
    step = integer_step_graph(graph.model, graph.spec)
    return Lowered(graph.spec, whole, step.SerializeToString())


@pytest.mark.parametrize(("cell", "layers", "bias"), [*product(CELLS, (1, 3), (True, False))])
def test_company_chunks_padding_and_single_steps_change_not_one_bit(
    cell: Cell, layers: int, bias: bool
):
    seen = verify_integers(lowered(stack_graph(cell, layers=layers, bias=bias)), numbers)
    assert seen == dict.fromkeys(seen, 0.0)
    assert len(seen) == 5


@pytest.mark.parametrize("cell", CELLS)
def test_residual_and_normalised_layers_in_integers_change_not_one_bit_either(cell: Cell):
    graph = stack_graph(cell, layers=3, residual=True, layer_norm=True)
    assert set(verify_integers(lowered(graph), numbers).values()) == {0.0}


@pytest.mark.parametrize("cell", CELLS)
def test_a_language_model_in_integers_changes_not_one_bit_either(cell: Cell):
    seen = verify_integers(lowered(build_graph(language_model(cell))), tokens)
    assert set(seen.values()) == {0.0}


@pytest.mark.parametrize(("cell", "layers"), [*product(CELLS, (1, 3))])
def test_a_stack_in_integers_is_near_the_one_in_float32(cell: Cell, layers: int):
    graph = stack_graph(cell, layers=layers)
    draw = np.random.default_rng(0)
    rows, lengths = numbers(draw, (4, 20)), np.array([20, 1, 7, 13], np.int32)
    start = tuple(part + 0.3 for part in runner(graph.model, graph.spec).initial_state(4))
    expected = runner(graph.model, graph.spec).run(rows, lengths, start)
    integers = integer_graph(graph.model, graph.spec)
    seen = runner(integers, graph.spec).run(rows, lengths, start)
    for row, length in enumerate(lengths):
        ours, theirs = seen.outputs[row, :length], expected.outputs[row, :length]
        np.testing.assert_allclose(ours, theirs, atol=NEAR)
    for one, other in zip(seen.state, expected.state, strict=True):
        np.testing.assert_allclose(one, other, atol=NEAR)
    assert "Scan" in operators(integers)
    assert not operators(integers) & {"LSTM", "GRU", "RNN"}


@pytest.mark.parametrize(("cell", "layers"), [*product(CELLS, (1, 2))])
def test_both_directions_in_integers_are_near_and_zero_past_the_end(cell: Cell, layers: int):
    graph = whole_graph(cell, layers=layers, bidirectional=True)
    seen = verify_integers(lowered(graph), numbers)
    assert set(seen.values()) == {0.0}  # no head sums over time here

    rows, lengths = numbers(np.random.default_rng(0), (3, 9)), np.array([9, 1, 4], np.int32)
    integers = runner(integer_graph(graph.model, graph.spec), graph.spec).run(rows, lengths)
    floats = runner(graph.model, graph.spec).run(rows, lengths)
    assert furthest(integers, floats) < NEAR
    assert not integers.outputs[1, 1:].any()


def test_layers_from_the_zero_state_in_one_direction_are_zero_past_the_end():
    graph = whole_graph("gru", layers=2)
    rows, lengths = numbers(np.random.default_rng(0), (3, 9)), np.array([9, 1, 4], np.int32)
    integers = runner(integer_graph(graph.model, graph.spec), graph.spec).run(rows, lengths)
    assert furthest(integers, runner(graph.model, graph.spec).run(rows, lengths)) < NEAR
    assert not integers.outputs[2, 4:].any()


@pytest.mark.slow
def test_a_classifier_whose_head_torch_exported_is_near():
    graph = build_graph(classifier())
    draw = np.random.default_rng(0)
    ids, lengths = draw.integers(0, 30, (4, 9)), np.array([9, 1, 4, 6], np.int32)
    integers = runner(integer_graph(graph.model, graph.spec), graph.spec).run(ids, lengths)
    assert furthest(integers, runner(graph.model, graph.spec).run(ids, lengths)) < NEAR
    seen = verify_integers(lowered(graph), lambda draw, shape: draw.integers(0, 30, shape))
    assert seen["int8_padding_changes_nothing"] == 0.0


def test_what_has_no_bounds_stays_in_float32():
    """A forecaster's windows and its reading of them; only layer and head are bytes."""
    graph = build_graph(forecaster())
    integers = integer_graph(graph.model, graph.spec)
    kept = {node.name for node in integers.graph.node if node.op_type == "MatMul"}
    assert kept == {"read", "layer0_directions_input0_product", "layer0_directions_input1_product"}
    names = {tensor.name for tensor in integers.graph.initializer}
    assert "head_integers" in names
    assert "head_weights" not in names


def test_a_large_vocabulary_is_kept_as_bytes_a_small_one_as_a_table_of_gates():
    torch.manual_seed(0)
    config = ModelConfig(cell="lstm", hidden=64, embedding=4)
    small, large = (build_graph(LanguageModel(config, n).eval()) for n in (100, 5000))
    for graph, num_tokens, dtype in ((small, 100, np.float32), (large, 5000, np.uint8)):
        integers = integer_graph(graph.model, graph.spec)
        arrays = [numpy_helper.to_array(tensor) for tensor in integers.graph.initializer]
        assert [a.dtype for a in arrays if a.ndim == 2 and len(a) == num_tokens] == [dtype]
        ids = np.random.default_rng(0).integers(0, 100, (3, 6))
        seen = runner(integers, graph.spec).run(ids)
        assert furthest(seen, runner(graph.model, graph.spec).run(ids)) < NEAR


@pytest.mark.parametrize(
    ("graph", "said"),
    [
        (stack_graph("rnn_relu"), "relu"),
        (reset_before(stack_graph("gru")), "not a plain one"),
        (stack_graph("gru_cho"), "not a plain one"),
        (stack_graph("min_gru"), "not a plain one"),
        (stack_graph("min_lstm", layers=2, residual=True), "not a plain one"),
        (stack_graph("lstm", bidirectional=True), "not a plain one"),
    ],
    ids=["relu", "reset before", "Cho", "minimal", "residual minimal", "both ways from a state"],
)
def test_a_layer_without_bounds_or_of_another_kind_is_refused(graph: Graph, said: str):
    with pytest.raises(LoweringError, match=said):
        integer_graph(graph.model, graph.spec)


def test_steps_of_other_weights_are_refused():
    one, other = (lowered(build_graph(language_model(cell))) for cell in ("lstm", "lstm"))
    torch.manual_seed(1)
    network = LanguageModel(ModelConfig(cell="lstm", hidden=24, layers=2, embedding=6), 13).eval()
    other = lowered(build_graph(network))
    with pytest.raises(VerificationError, match="int8_step_equals_sequence"):
        verify_integers(Lowered(one.spec, one.whole, other.step), tokens)


def test_weights_are_rounded_to_the_nearest_byte_of_their_column():
    weights = np.random.default_rng(0).normal(0, [1.0, 1e-3, 0.0], (50, 3)).astype(np.float32)
    integers, scales = quantize_columns(weights)
    assert integers.dtype == np.int8
    assert np.abs(integers).max(axis=0).tolist() == [127, 127, 0]
    assert (np.abs(integers * scales - weights) <= scales * 0.501).all()

"""A step written out is the fused step, and holds nothing that one step does not need."""

import numpy as np
import onnx
import pytest

from tests.training.export.lowering.graphs import numbers, operators, stack_graph, whole_graph
from tests.training.export.test_graph import forecaster, language_model
from tests.training.export.test_verify import change_constant, node
from training.config import Cell
from training.export.claims import VerificationError
from training.export.graph import Graph, build_graph, with_step
from training.export.lowering.rewriting import LoweringError
from training.export.lowering.step import STEP_FILE, step_graph
from training.export.verify_lowered import (
    STEP_ALONE_EQUALS_COMPANY,
    STEP_EQUALS_SEQUENCE,
    Lowered,
    verify_step,
)
from training.runner import Array

CELLS: tuple[Cell, ...] = ("rnn_tanh", "rnn_relu", "lstm", "gru")
FUSED = {"LSTM", "GRU", "RNN"}


def tokens(draw: np.random.Generator, shape: tuple[int, ...]) -> Array:
    return draw.integers(0, 13, shape)


def lowered(graph: Graph) -> Lowered:
    step = step_graph(graph.model, graph.spec)
    return Lowered(graph.spec, graph.model.SerializeToString(), step.SerializeToString())


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("layers", [1, 3])
@pytest.mark.parametrize("cell", [*CELLS, "min_gru", "min_lstm"])
def test_steps_give_what_the_sequence_gives(cell: Cell, layers: int, bias: bool):
    seen = verify_step(lowered(stack_graph(cell, layers=layers, bias=bias)), numbers)
    assert seen[STEP_EQUALS_SEQUENCE] < 2e-6  # float32 through 200 steps of three layers
    assert seen[STEP_ALONE_EQUALS_COMPANY] == 0.0


@pytest.mark.parametrize("cell", ["lstm", "rnn_tanh", "min_gru", "min_lstm"])
def test_steps_give_the_bits_of_the_sequence(cell: Cell):
    seen = verify_step(lowered(build_graph(language_model(cell))), tokens)
    assert seen == {STEP_EQUALS_SEQUENCE: 0.0, STEP_ALONE_EQUALS_COMPANY: 0.0}


def test_the_rows_that_a_forecaster_keeps_move_on_by_one():
    network = forecaster()

    def values(draw: np.random.Generator, shape: tuple[int, ...]) -> Array:
        rows = draw.normal(network.mean.numpy(), network.deviation.numpy(), (*shape, 3))
        return rows.astype(np.float32)

    assert verify_step(lowered(build_graph(network)), values)[STEP_EQUALS_SEQUENCE] < 1e-5


@pytest.mark.parametrize(("cell", "gates"), [("lstm", 4), ("rnn_tanh", 1)])
def test_the_embedding_is_folded_into_a_table_of_gates(cell: Cell, gates: int):
    graph = build_graph(language_model(cell))
    step = step_graph(graph.model, graph.spec)
    shapes = {tensor.name: tuple(tensor.dims) for tensor in step.graph.initializer}
    assert "embedding" not in shapes
    assert (13, gates * 24) in shapes.values()


def test_nothing_is_left_of_time_and_lengths():
    graph = build_graph(forecaster())
    step = step_graph(graph.model, graph.spec)
    assert not operators(step) & FUSED
    assert [value.name for value in step.graph.input] == ["values", "h_in", "recent_in"]
    shape = step.graph.input[0].type.tensor_type.shape
    assert [dim.dim_param or dim.dim_value for dim in shape.dim] == ["batch", 1, 3]
    assert not any(n.op_type == "Shape" and n.input[0] == "values" for n in step.graph.node)


def reset_before(graph: Graph) -> Graph:
    for attribute in node(graph, "GRU").attribute:
        if attribute.name == "linear_before_reset":
            attribute.i = 0
    return graph


def clipped(graph: Graph) -> Graph:
    node(graph, "LSTM").attribute.append(onnx.helper.make_attribute("clip", 3.0))
    return graph


@pytest.mark.parametrize(
    "graph",
    [
        stack_graph("lstm", bidirectional=True),
        stack_graph("min_gru", bidirectional=True),
        whole_graph("lstm"),
        whole_graph("min_lstm"),
        stack_graph("gru_cho"),
        reset_before(stack_graph("gru")),
        clipped(stack_graph("lstm")),
    ],
    ids=[
        "both ways",
        "loops both ways",
        "without state",
        "loop without state",
        "Cho",
        "reset before",
        "clipped",
    ],
)
def test_a_layer_that_cannot_be_told_has_no_steps(graph: Graph):
    with pytest.raises(LoweringError):
        step_graph(graph.model, graph.spec)
    assert with_step(graph) == graph


def test_a_graph_and_its_steps_are_named_in_one_spec():
    graph = with_step(build_graph(language_model()))
    assert graph.step is not None
    assert graph.spec.step_file == STEP_FILE


def of_step(graph: Graph) -> Graph:
    return Graph(step_graph(graph.model, graph.spec), graph.spec)


def other_weights() -> Graph:
    step = of_step(build_graph(language_model()))
    change_constant(step, "head_bias", lambda bias: bias + 1e-3)
    return step


def state_of_another_layer() -> Graph:
    step = of_step(build_graph(language_model()))
    node(step, "Concat").input.reverse()
    return step


def frozen_batch() -> Graph:
    step = of_step(build_graph(language_model()))
    for value in (*step.model.graph.input, *step.model.graph.output):
        for dim in value.type.tensor_type.shape.dim:
            if dim.dim_param == "batch":
                dim.dim_value = 2
    return step


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        (other_weights, STEP_EQUALS_SEQUENCE),
        (state_of_another_layer, STEP_EQUALS_SEQUENCE),
        (frozen_batch, "refuses the graph"),
    ],
)
def test_a_wrong_step_is_refused(broken, said: str):
    whole = build_graph(language_model())
    step = broken().model.SerializeToString()
    with pytest.raises(VerificationError, match=said):
        verify_step(Lowered(whole.spec, whole.model.SerializeToString(), step), tokens)

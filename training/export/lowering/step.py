"""One step written out: each fused layer as plain products and gates, each loop as its body.

The embedding disappears into a table of what it sends to the gates, and nothing asks for time or
lengths any more. The arithmetic is that of the whole graph, so that both give the same bits.
"""

from functools import partial

import numpy as np
import onnx

from service.artifact.graphs import GraphSpec, TensorSpec
from training.export.draft import Draft
from training.export.lowering.finished import Cell, Finished, Layer, Loop, Weights, identity
from training.export.lowering.gates import Sums, add_gates, parts
from training.export.lowering.inputs import add_tokens
from training.export.lowering.rewriting import LoweringError, StandIn, rewrite
from training.export.scanned import VALID_NOW
from training.runner import Runner

STEP_FILE = "step.onnx"


def step_graph(model: onnx.ModelProto, spec: GraphSpec) -> onnx.ModelProto:
    """The same network for exactly one step; raises LoweringError where that is none."""
    graph = Finished(model, spec)
    draft = Draft(graph.constants)
    layers = [
        StandIn(layer.nodes, partial(_add_layer, draft, graph, layer))
        for chain in one_way_chains(graph)
        for layer in chain
    ]
    loops = [
        StandIn((identity(loop.node),), partial(_add_body, draft, loop)) for loop in graph.loops()
    ]
    rewrite(graph, draft, [*layers, *loops, *without_time(graph, draft)])
    return draft.finish(spec, opset=graph.opset, steps=1)


def one_way_chains(graph: Finished) -> list[tuple[Layer, ...]]:
    """All recurrent layers, each of which goes forward from a state that it is given."""
    chains = list(graph.chains())
    layers, loops = [layer for chain in chains for layer in chain], list(graph.loops())
    from_states = [*(bool(layer.initial) for layer in layers), *map(graph.from_state, loops)]
    if len(from_states) != graph.num_recurrent or not all(from_states) or graph.looks_back:
        raise LoweringError("a recurrent layer is not a plain one that goes on from a state")
    return chains


def without_time(graph: Finished, draft: Draft) -> list[StandIn]:
    """The constants that lengths and the number of steps have become."""
    one = np.ones((), np.int64)
    draft.constant(graph.spec.lengths, np.ones(1, np.int32))
    return [
        StandIn((name,), partial(draft.constant, name, one)) for name in graph.numbers_of_steps()
    ]


def name_state(draft: Draft, layer: Layer, state: tuple[str, ...]) -> None:
    """Give the state after the step the names that the layer gave to it."""
    draft.add("Identity", [state[0]], layer.steps)
    for part, final in zip(state, layer.finals, strict=False):
        if final:
            draft.add("Identity", [part], final)


def _add_layer(draft: Draft, graph: Finished, layer: Layer) -> None:
    (cell,) = layer.cells
    sums = _add_sums(draft, graph, layer, cell)
    before = layer.initial[1:] if cell.operator == "LSTM" else layer.initial
    name_state(draft, layer, add_gates(draft, cell, sums, before=before, name=layer.name))


def _add_body(draft: Draft, loop: Loop) -> None:
    """The loop's body once: every row is of its one step, so that none is passed on as it is."""
    node, body, prefix = loop.node, onnx.GraphProto(), f"{identity(loop.node)}_"
    body.CopyFrom(loop.body)
    for one in body.node:
        if VALID_NOW in one.input:
            one.op_type, one.input[:] = "Identity", [one.input[1]]
    *after, told = (value.name for value in body.output)
    names = [value.name for value in body.input if value.name != VALID_NOW]
    wires = dict(zip(names, node.input, strict=False)) | dict(zip(after, node.output, strict=False))
    for tensor in names[len(after) :]:
        now = draft.add("Squeeze", [wires[tensor], draft.integers(0)], f"{prefix}{tensor}")
        wires[tensor] = now
    draft.graft(body, wires, prefix=prefix)
    draft.add("Unsqueeze", [f"{prefix}{told}", draft.integers(0)], node.output[len(after)])


def _add_sums(draft: Draft, graph: Finished, layer: Layer, cell: Cell) -> Sums:
    named: dict[str, str] = {}
    for part in parts(cell):
        name = f"{layer.name}_{'all' if part.summed else 'new'}"
        inputs = _add_input(draft, graph, layer, weights=cell.input[:, part.columns], name=name)
        weights = draft.constant(f"{name}_recurrent", cell.recurrent[:, part.columns])
        states = draft.add("MatMul", [layer.initial[0], weights], f"{name}_from_state")
        if part.summed:
            bias = (cell.input_bias + cell.recurrent_bias)[part.columns]
            if cell.operator == "RNN":  # its loop adds the bias for all steps, ahead of the state
                inputs = _add_bias(draft, inputs, bias, name=name)
                named["summed"] = draft.add("Add", [inputs, states], f"{name}_from_both")
                continue
            both = draft.add("Add", [inputs, states], f"{name}_from_both")
            named["summed"] = _add_bias(draft, both, bias, name=name)
        else:
            bias = cell.recurrent_bias[part.columns]
            named["new_input"] = inputs
            named["new_state"] = _add_bias(draft, states, bias, name=name)
            named["new_bias"] = draft.constant(f"{name}_input_bias", cell.input_bias[part.columns])
    return Sums(**named)


def _add_bias(draft: Draft, tensor: str, bias: Weights, *, name: str) -> str:
    return draft.add("Add", [tensor, draft.constant(f"{name}_bias", bias)], f"{name}_sum")


def _add_input(draft: Draft, graph: Finished, layer: Layer, *, weights: Weights, name: str) -> str:
    lookup = graph.lookup(layer.source)
    if lookup is None:
        constant = draft.constant(f"{name}_input", weights)
        return draft.add("MatMul", [layer.source, constant], f"{name}_from_input")
    table = draft.constant(f"{name}_table", _multiply(lookup.table, weights))
    tokens = add_tokens(draft, lookup, f"{name}_tokens")
    return draft.add("Gather", [table, tokens], f"{name}_from_input")


def _multiply(rows: Weights, weights: Weights) -> Weights:
    """The product as ONNX Runtime rounds it, which is not how numpy does."""
    spec = GraphSpec(
        file=STEP_FILE,
        inputs=(TensorSpec(name="rows", dtype="float32", shape=("batch", "time", len(weights))),),
        lengths="lengths",
        outputs=(
            TensorSpec(name="product", dtype="float32", shape=("batch", "time", weights.shape[1])),
        ),
    )
    draft = Draft()
    draft.add("MatMul", ["rows", draft.constant("weights", weights)], "product")
    model = draft.finish(spec).SerializeToString()
    return Runner(model, spec).run(rows[None]).outputs[0]

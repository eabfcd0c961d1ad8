"""A published graph with its recurrent layers in integers: over sequences, and for one step.

Over sequences each chain of layers is one loop that holds nothing but the products with the
state and the gates; the step graph has the same nodes without the loop, so that both give the
same bits.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

import onnx

from service.artifact.graphs import GraphSpec
from training.export.draft import Draft
from training.export.lengths import add_turned, add_valid
from training.export.lowering.arithmetic import add_head
from training.export.lowering.cells import add_step, carry
from training.export.lowering.finished import Chain, Finished, Layer
from training.export.lowering.inputs import Input, Source, add_given, add_inputs, add_source
from training.export.lowering.loop import add_loop
from training.export.lowering.rewriting import LoweringError, StandIn, rewrite
from training.export.lowering.step import name_state, one_way_chains, without_time

INT8_FILE, INT8_STEP_FILE = "model-int8.onnx", "step-int8.onnx"
_AddChain = Callable[[Draft, Finished, Chain, set[str]], None]


def integer_graph(model: onnx.ModelProto, spec: GraphSpec) -> onnx.ModelProto:
    """For chunks and sequences of any length; raises LoweringError where it cannot be."""
    graph = Finished(model, spec)
    draft = Draft(graph.constants)
    rewrite(graph, draft, _stand_ins(graph, draft, _add_whole))
    return draft.finish(spec, opset=graph.opset)


def integer_step_graph(model: onnx.ModelProto, spec: GraphSpec) -> onnx.ModelProto:
    """For exactly one step; raises LoweringError where it cannot be."""
    graph = Finished(model, spec)
    one_way_chains(graph)
    draft = Draft(graph.constants)
    stand_ins = [*_stand_ins(graph, draft, _add_one_step), *without_time(graph, draft)]
    rewrite(graph, draft, stand_ins)
    return draft.finish(spec, opset=graph.opset, steps=1)


def _stand_ins(graph: Finished, draft: Draft, add_chain: _AddChain) -> list[StandIn]:
    chains = _bounded_chains(graph)
    bounded = graph.within_one({layer.steps for chain in chains for layer in chain})
    stand_ins = [
        StandIn(
            tuple(node for layer in chain for node in layer.nodes),
            partial(add_chain, draft, graph, chain, bounded),
        )
        for chain in chains
    ]
    heads = [StandIn(head.nodes, partial(add_head, draft, head)) for head in graph.heads(bounded)]
    return [*stand_ins, *heads]


def _bounded_chains(graph: Finished) -> list[Chain]:
    """All recurrent layers; raises LoweringError if one cannot be told or has no bounds."""
    chains = list(graph.chains())
    layers = [layer for chain in chains for layer in chain]
    if not layers or len(layers) != graph.num_recurrent:
        raise LoweringError("a recurrent layer is not a plain one: it stays in float32")
    if any(cell.relu for layer in layers for cell in layer.cells):
        raise LoweringError("a state behind relu has no bounds: it stays in float32")
    return chains


def _add_one_step(draft: Draft, graph: Finished, chain: Chain, bounded: set[str]) -> None:
    cells, name = [layer.cells[0] for layer in chain], chain[0].name
    source = add_source(draft, graph, chain[0], bounded)
    inputs = add_inputs(draft, cells[0], source, name=name)
    before = [
        carry(draft, cell, layer.initial, f"{layer.name}_bytes_before")
        for cell, layer in zip(cells, chain, strict=True)
    ]
    given = [add_given(draft, one, f"{name}_given{k}") for k, one in enumerate(inputs)]
    stepped = add_step(draft, [layer.cells for layer in chain], given, before=before, name=name)
    for layer, after in zip(chain, stepped, strict=True):
        name_state(draft, layer, after.state)


def _add_whole(draft: Draft, graph: Finished, chain: Chain, bounded: set[str]) -> None:
    first = chain[0]
    name = first.name
    source = add_source(draft, graph, first, bounded)
    if len(first.cells) == 2:
        inputs = _add_both_inputs(draft, graph, first, source)
        steps = add_loop(draft, graph, chain, inputs=inputs, name=name)
        steps = _add_turned_back(draft, graph, steps)
    else:
        inputs = add_inputs(draft, first.cells[0], source, name=name)
        steps = add_loop(draft, graph, chain, inputs=inputs, name=name)
    if not graph.spec.state:
        steps = _add_mask(draft, graph, steps, batch_axis=len(first.cells))
    draft.add("Identity", [steps], chain[-1].steps)


def _add_both_inputs(draft: Draft, graph: Finished, layer: Layer, source: Source) -> list[Input]:
    """Backward is forward over each row turned round within its own length: both directions take
    their steps together."""
    turned = replace(source, tensor=_add_turned(draft, graph, source.tensor))
    sides = [
        add_inputs(draft, cell, read, name=f"{layer.name}_side{k}")
        for k, (cell, read) in enumerate(zip(layer.cells, (source, turned), strict=True))
    ]
    return [one for part in zip(*sides, strict=True) for one in part]


def _add_turned_back(draft: Draft, graph: Finished, steps: str) -> str:
    """`[time, 2, batch, hidden]` with the second direction's steps where they belong."""
    sides = [f"{steps}_forward", f"{steps}_backward"]
    draft.split(steps, [f"{side}_kept" for side in sides], sizes=[1, 1], axis=1)
    for side in sides:
        draft.add("Squeeze", [f"{side}_kept", draft.integers(1)], side)
    return _add_together(draft, [sides[0], _add_turned(draft, graph, sides[1])], f"{steps}_both")


def _add_together(draft: Draft, sides: Sequence[str], output: str) -> str:
    """Two of `[time, batch, ...]` as one of `[time, 2, batch, ...]`."""
    kept = [draft.add("Unsqueeze", [side, draft.integers(1)], f"{side}_side") for side in sides]
    return draft.add("Concat", kept, output, {"axis": 1})


def _add_turned(draft: Draft, graph: Finished, tensor: str) -> str:
    return add_turned(draft, tensor, f"{tensor}_turned", graph.spec.lengths)


def _add_mask(draft: Draft, graph: Finished, steps: str, *, batch_axis: int) -> str:
    """Zero past each row's length, as the fused operator leaves it: a head may sum over time."""
    valid = add_valid(draft, steps, f"{steps}_valid", graph.spec.lengths)  # [time, batch]
    axes = draft.integers(2) if batch_axis == 1 else draft.integers(1, 3)
    valid = draft.add("Unsqueeze", [valid, axes], f"{steps}_valid_kept")
    zero = draft.number("zero_float", 0)
    return draft.add("Where", [valid, steps, zero], f"{steps}_masked")

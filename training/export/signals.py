"""The graph of a `SignalNetwork`: how rows are read, the recurrent layers, and a linear head."""

import numpy as np

from service.artifact.graphs import GraphSpec, StateSpec, TensorSpec
from training.export.baseline import add_baseline, add_last_row
from training.export.draft import Draft
from training.export.graph import Graph
from training.export.linear import add_product
from training.export.recurrent import LENGTHS, MODEL_FILE, add_stack, state_specs
from training.export.so_far import add_mean_beside
from training.export.strokes import add_strokes
from training.export.weights import array
from training.nn.signals import LEAST_LEVEL, SignalNetwork


def signal_graph(network: SignalNetwork) -> Graph:
    features, outputs = network.num_features, network.head.out_features
    spec = GraphSpec(
        file=MODEL_FILE,
        inputs=(TensorSpec(name="values", dtype="float32", shape=("batch", "time", features)),),
        lengths=LENGTHS,
        outputs=(TensorSpec(name=network.name, dtype="float32", shape=("batch", "time", outputs)),),
        state=(*state_specs(network.stack), *_kept(network)),
    )
    draft = Draft()
    read = _add_reading(draft, network)  # [time, batch, read]
    steps = add_stack(draft, network.stack, read)
    if network.recalls:
        steps = add_mean_beside(draft, steps)
    _add_head(draft, steps, network)
    draft.transpose("answers", network.name, (1, 0, 2))
    return Graph(draft.finish(spec), spec)


def _kept(network: SignalNetwork) -> tuple[StateSpec, ...]:
    return tuple(
        StateSpec(input=f"{name}_in", output=f"{name}_out", shape=(1, "batch", size), batch_axis=1)
        for name, size in network.kept_sizes.items()
    )


def _add_reading(draft: Draft, network: SignalNetwork) -> str:
    """`values` as the recurrent layers see them, `[time, batch, read]`."""
    mean = draft.constant("mean", array(network.mean))
    deviation = draft.constant("deviation", array(network.deviation))
    centred = draft.add("Sub", ["values", mean], "centred")
    scaled = draft.add("Div", [centred, deviation], "scaled_by_batch")
    scaled = draft.transpose(scaled, "scaled", (1, 0, 2))  # [time, batch, features]
    match network.reading:
        case "plain":
            return scaled
        case "differences":
            return _add_differences(draft, network, scaled, static=scaled)
        case "strokes":
            return add_strokes(draft, scaled)
        case "skeleton":
            from_root = draft.constant("from_root", array(network.from_root))
            static = draft.add("MatMul", [scaled, from_root], "static")
            return _add_differences(draft, network, scaled, static=static)
        case "baseline":
            return add_baseline(draft, scaled, network.baseline_steps)
        case "spectrum":
            return _add_spectrum(draft, scaled, network)


def _add_differences(draft: Draft, network: SignalNetwork, scaled: str, *, static: str) -> str:
    rows = draft.add("Concat", ["row_in", scaled], "rows", {"axis": 0})
    ends = [draft.integers(0), draft.integers(-1), draft.integers(0)]
    before = draft.add("Slice", [rows, *ends], "rows_before")
    difference = draft.add("Sub", [scaled, before], "difference_scaled")
    paces = draft.constant("paces", array(network.paces))
    difference = draft.add("Div", [difference, paces], "difference")
    add_last_row(draft, rows, "row")
    return draft.add("Concat", [static, difference], "read", {"axis": 2})


def _add_spectrum(draft: Draft, frames: str, network: SignalNetwork) -> str:
    """The mean over bins is a constant product: a reduction may round by the batch."""
    squares: list[str] = []
    for part in ("cosines", "sines"):
        waves = draft.constant(part, array(network.get_buffer(part)))
        wave = draft.add("MatMul", [frames, waves], f"in_{part}")
        squares.append(draft.add("Mul", [wave, wave], f"{part}_squared"))
    power = draft.add("Add", squares, "power")
    roots = draft.add("Sqrt", [draft.add("Sqrt", [power], "amplitude")], "roots")
    bins = network.num_features // 2
    averaging = draft.constant("averaging", np.full((bins, bins), 1 / bins, np.float32))
    level = draft.add("MatMul", [roots, averaging], "level")  # the same in every bin
    least = draft.constant("least_level", np.array(LEAST_LEVEL, np.float32))
    level = draft.add("Add", [level, least], "level_kept")
    shape = draft.add("Div", [roots, level], "shape")
    return draft.add("Sub", [shape, draft.constant("one", np.array(1, np.float32))], "read")


def _add_head(draft: Draft, steps: str, network: SignalNetwork) -> None:
    """The outputs' own units are folded into the weights."""
    deviation = array(network.output_deviation)
    weights = array(network.head.weight).T * deviation
    bias = array(network.head.bias) * deviation + array(network.output_mean)
    add_product(draft, steps, "head", weights=weights, bias=bias, output="answers")

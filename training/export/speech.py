"""The graph of a `Listener`: frames of samples, their log-mel energies, layers and a head."""

import numpy as np

from service.artifact.graphs import GraphSpec, StateSpec, TensorSpec
from training.export.draft import Draft
from training.export.graph import Graph
from training.export.linear import add_linear
from training.export.recurrent import LENGTHS, MODEL_FILE, add_stack, state_specs
from training.export.weights import array
from training.export.windows import add_last_rows
from training.nn.features import FLOOR, ROOTS, LogMel
from training.nn.speech import Listener

_END = np.iinfo(np.int64).max


def speech_graph(network: Listener) -> Graph:
    framing, outputs = network.framing, network.head.out_features
    shape = (framing.hops_before, "batch", framing.hop)
    overlap = StateSpec(input="overlap_in", output="overlap_out", shape=shape, batch_axis=1)
    spec = GraphSpec(
        file=MODEL_FILE,
        inputs=(TensorSpec(name="samples", dtype="float32", shape=("batch", "time", framing.hop)),),
        lengths=LENGTHS,
        outputs=(TensorSpec(name="logits", dtype="float32", shape=("batch", "time", outputs)),),
        state=(*state_specs(network.stack), overlap),
    )
    draft = Draft()
    by_time = draft.transpose("samples", "samples_by_time", (1, 0, 2))  # [time, batch, hop]
    hops = draft.add("Concat", ["overlap_in", by_time], "hops", {"axis": 0})
    add_last_rows(draft, hops, "overlap", framing.hops_before)
    read = add_log_mel(draft, network.features, hops)
    steps = add_stack(draft, network.stack, read)
    scores = add_linear(draft, steps, "head", network.head, output="scores")
    draft.transpose(scores, "logits", (1, 0, 2))
    return Graph(draft.finish(spec), spec)


def add_log_mel(draft: Draft, features: LogMel, hops: str) -> str:
    """`hops [hops_before + time, batch, hop]` to `[time, batch, mels]`."""
    frames = _add_frames(draft, hops, features.framing.hops_before)
    waves = draft.constant("waves", array(features.waves))
    heard = draft.add("MatMul", [frames, waves], "heard")  # [time, batch, 2 bins]
    squares = draft.add("Mul", [heard, heard], "squares")
    bins = len(features.filters)
    draft.split(squares, ["real", "imaginary"], sizes=[bins, bins], axis=2)
    power = draft.add("Add", ["real", "imaginary"], "power")
    filters = draft.constant("filters", array(features.filters))
    energies = draft.add("MatMul", [power, filters], "energies")
    energies = draft.add("Add", [energies, draft.number("least_energy", FLOOR)], "energies_kept")
    nats = _add_logarithm(draft, energies)
    mean = draft.constant("mean", array(features.mean))
    deviation = draft.constant("deviation", array(features.deviation))
    return draft.add("Div", [draft.add("Sub", [nats, mean], "centred"), deviation], "log_mel")


def _add_frames(draft: Draft, hops: str, before: int) -> str:
    """A step's hop and those before it, side by side, `[time, batch, window]`."""
    parts: list[str] = []
    for first in range(before + 1):
        end = first - before or _END
        ends = [draft.integers(first), draft.integers(end), draft.integers(0)]
        parts.append(draft.add("Slice", [hops, *ends], f"frame_part{first}"))
    return draft.add("Concat", parts, "frames", {"axis": 2})


def _add_logarithm(draft: Draft, values: str) -> str:
    """As `features.logarithm`, operation by operation."""
    for number in range(ROOTS):
        values = draft.add("Sqrt", [values], f"root{number}")
    one = draft.number("one", 1)
    below, above = (draft.add(kind, [values, one], f"root_{kind}") for kind in ("Sub", "Add"))
    z = draft.add("Div", [below, above], "z")
    cubic = draft.add("Div", [draft.add("Mul", [z, z], "z2"), draft.number("three", 3)], "z2_3")
    series = draft.add("Mul", [draft.add("Add", [cubic, one], "series_of_z"), z], "series")
    return draft.add("Mul", [series, draft.number("of_roots", 2 ** (ROOTS + 1))], "nats")

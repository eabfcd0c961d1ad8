"""A published version once more, with its layers in integers: made, proven, not yet judged."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import onnx

from service.artifact.artifact import Artifact, ProbeData, digest, dump_probe
from service.artifact.graphs import GraphSpec
from service.artifact.manifest import Int8, Manifest, Metric, Probe
from training.export.claims import Values, difference
from training.export.lowering.integer import (
    INT8_FILE,
    INT8_STEP_FILE,
    integer_graph,
    integer_step_graph,
)
from training.export.lowering.step import STEP_FILE, step_graph
from training.export.verify_lowered import (
    Lowered,
    keeps_every_bit,
    values_of,
    verify_integers,
    verify_step,
)
from training.runner import Ran, Runner

_PROBE_FILE = "probe-int8.npz"
_LEAST_TOLERANCE = 1e-3


@dataclass(frozen=True, slots=True)
class Quantized:
    """What the next version has beside the files of the one that it was made from."""

    graph: GraphSpec
    int8: Int8
    files: Mapping[str, bytes]
    verification: Mapping[str, float]

    @property
    def runner(self) -> Runner:
        return Runner(self.files[self.int8.graph.file], self.int8.graph)


def quantize(artifact: Artifact) -> Quantized:
    """Lower a version's graph; raises LoweringError or VerificationError where it cannot be."""
    manifest = artifact.manifest
    whole, values = artifact.model_path.read_bytes(), values_of(manifest.input)
    model, spec = onnx.load_from_string(whole), manifest.graph
    floats, claims = _floats(model, spec, whole, values)
    step = _bytes(integer_step_graph(model, spec)) if spec.state else None
    whole = _bytes(integer_graph(model, spec))
    integers = Lowered(_named(spec, INT8_FILE, INT8_STEP_FILE), whole, step)
    verification = {**claims, **verify_integers(integers, values)}

    probe = _probe(artifact, integers)
    tolerance = max(_LEAST_TOLERANCE, _gap(artifact, probe))
    made = {INT8_FILE: whole, STEP_FILE: floats.step, INT8_STEP_FILE: integers.step}
    files = {name: data for name, data in made.items() if data is not None}
    return Quantized(
        graph=floats.spec,
        int8=Int8(graph=integers.spec, probe=Probe(file=_PROBE_FILE, tolerance=tolerance)),
        files=files | {_PROBE_FILE: dump_probe(probe)},
        verification=verification,
    )


def _floats(
    model: onnx.ModelProto, spec: GraphSpec, whole: bytes, values: Values
) -> tuple[Lowered, Mapping[str, float]]:
    """The float32 graphs, with single steps where they keep every bit, and what proves them."""
    if spec.state:
        lowered = Lowered(
            _named(spec, spec.file, STEP_FILE), whole, _bytes(step_graph(model, spec))
        )
        claims = verify_step(lowered, values)
        if keeps_every_bit(claims):
            return lowered, claims
    return Lowered(spec.model_copy(update={"step_file": None}), whole, None), {}


def next_manifest(
    artifact: Artifact, quantized: Quantized, *, version: int, metrics: Sequence[Metric]
) -> Manifest:
    """The version's manifest with the new graphs, and their `metrics` after its own."""
    old = artifact.manifest
    provenance = old.provenance.model_copy(
        update={
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
            "metrics": (*old.provenance.metrics, *metrics),
            "verification": {**old.provenance.verification, **quantized.verification},
        }
    )
    fields = {
        "version": version,
        "graph": quantized.graph,
        "int8": quantized.int8,
        "files": old.files | {name: digest(data) for name, data in quantized.files.items()},
        "provenance": provenance,
    }
    return Manifest.model_validate(dict(old) | fields)


def _probe(artifact: Artifact, integers: Lowered) -> ProbeData:
    """The same rows, and what the integers make of them."""
    rows = artifact.probe
    ran = Runner(integers.whole, integers.spec).run(rows.inputs, rows.lengths)
    return ProbeData(rows.inputs, rows.lengths, ran.named(integers.spec), ran.state)


def _gap(artifact: Artifact, probe: ProbeData) -> float:
    """How far integers are from float32. Another processor may round a number between two bytes
    to the other one; that puts it as far off as quantizing did, and no further."""
    names = [output.name for output in artifact.manifest.graph.outputs]
    seen, expected = (
        Ran(first, probed.state, *others)
        for probed in (probe, artifact.probe)
        for first, *others in [[probed.outputs[name] for name in names]]
    )
    return difference(seen, expected, probe.lengths)


def _named(spec: GraphSpec, file: str, step_file: str) -> GraphSpec:
    named = {"file": file, "step_file": step_file if spec.state else None}
    return spec.model_copy(update=named)


def _bytes(model: onnx.ModelProto) -> bytes:
    return model.SerializeToString(deterministic=True)

"""In which of its forms an artifact is served here, and whether this machine computes it right."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from service.artifact.artifact import Artifact, ProbeData, SourceProbe
from service.artifact.graphs import GraphSpec
from service.artifact.manifest import Probe
from service.errors import ArtifactError
from service.runtime.base import Memory, Runtime, State, StepInput, host_state
from service.runtime.processor import int8_is_fast
from service.runtime.session import RuntimeConfig, cuda_is_offered
from service.runtime.state import row_of, stack

Array = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Form:
    """The same model in one arithmetic, with what it must give."""

    precision: Literal["float32", "int8"]
    graph: GraphSpec
    probe: Probe
    expected: ProbeData


def choose_form(artifact: Artifact, config: RuntimeConfig) -> Form:
    """int8 where the artifact has it, the settings allow it and the processor is fast at it.

    One form for all rows, though a long row alone may be slower in int8 than in float32: were it
    served in the other one, its answer would depend on the company it has.
    """
    manifest = artifact.manifest
    on_processor = config.device == "cpu" or (config.device == "auto" and not cuda_is_offered())
    if (
        config.precision == "auto"
        and manifest.int8 is not None
        and artifact.int8_probe is not None
        and on_processor
        and int8_is_fast()
    ):
        return Form("int8", manifest.int8.graph, manifest.int8.probe, artifact.int8_probe)
    return Form("float32", manifest.graph, manifest.probe, artifact.probe)


def replay(form: Form, runtime: Runtime, encoder: Runtime | None = None) -> float:
    """The largest `|seen - expected| / max(1, |expected|)` of the probe.

    Its rows go through together, and the longest of them once more step by step, where there is a
    graph for that. A decoder's rows begin where its `encoder` ends with the probe's source. Raises
    ArtifactError beyond the tolerance.
    """
    worst = _replay_together(form, runtime, encoder)
    if form.graph.step_file is not None:
        worst = max(worst, _replay_by_steps(form, runtime))
    return worst


def _replay_together(form: Form, runtime: Runtime, encoder: Runtime | None) -> float:
    expected = form.expected
    state = stack([runtime.initial_state()] * len(expected.lengths), runtime.batch_axes)
    memory = None
    if encoder is not None:
        assert expected.source is not None, "an encoder-decoder's probe has a source"
        state, memory = _encode(encoder, expected.source, state)
    result = runtime.step(StepInput(_inputs(form), expected.lengths, state, memory=memory))
    worst = 0.0
    for name, wanted in expected.outputs.items():
        seen = result.outputs[name]
        _check_shape(form, name, seen, wanted)
        if name in runtime.per_step:
            valid = np.arange(seen.shape[1]) < expected.lengths[:, None]
            seen, wanted = seen[valid], wanted[valid]
        worst = max(worst, _difference(form, name, seen, wanted))
    return max(worst, _state_difference(form, host_state(result.state), expected.state))


def _encode(encoder: Runtime, source: SourceProbe, zero: State) -> tuple[State, Memory]:
    read = encoder.step(StepInput(source.inputs.astype(np.int64), source.lengths, zero))
    (values,) = read.outputs.values()
    return host_state(read.state), Memory(values, source.lengths)


def _replay_by_steps(form: Form, runtime: Runtime) -> float:
    expected = form.expected
    row = int(expected.lengths.argmax())
    steps = int(expected.lengths[row])
    inputs = _inputs(form)[row, :steps]
    state = stack([runtime.initial_state()], runtime.batch_axes)
    one = np.ones(1, np.int32)
    worst = 0.0
    for step in range(steps):
        result = runtime.step(StepInput(inputs[None, step : step + 1], one, state, single=True))
        state = result.state
        for name, wanted in expected.outputs.items():
            seen, at = result.outputs[name][0], wanted[row]
            if name in runtime.per_step:
                at = at[step : step + 1]
            elif step < steps - 1:
                continue
            _check_shape(form, name, seen, at)
            worst = max(worst, _difference(form, name, seen, at))
    axes = runtime.batch_axes
    ends = row_of(host_state(state), 0, axes)
    return max(worst, _state_difference(form, ends, row_of(expected.state, row, axes)))


def _inputs(form: Form) -> NDArray[np.generic]:
    return form.expected.inputs.astype(np.dtype(form.graph.input.dtype))


def _state_difference(form: Form, seen: State, expected: State) -> float:
    worst = 0.0
    for spec, one, other in zip(form.graph.state, seen, expected, strict=True):
        _check_shape(form, spec.output, one, other)
        worst = max(worst, _difference(form, spec.output, one, other))
    return worst


def _check_shape(form: Form, name: str, seen: Array, expected: Array) -> None:
    if seen.shape != expected.shape:
        raise ArtifactError(
            f"{name} has shape {seen.shape}, at export it had {expected.shape}",
            file=form.probe.file,
            field=name,
        )


def _difference(form: Form, name: str, seen: Array, expected: Array) -> float:
    difference = float((np.abs(seen - expected) / np.maximum(1.0, np.abs(expected))).max())
    if not difference <= form.probe.tolerance:
        raise ArtifactError(
            f"{name} differs from what was seen at export by {difference:.3g}, "
            f"more than {form.probe.tolerance:g}",
            file=form.probe.file,
            field=name,
        )
    return difference

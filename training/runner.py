"""A graph, run as the service runs it: chunk and state go in, outputs and state come out."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from service.artifact.artifact import Artifact
from service.artifact.graphs import EncoderSpec, GraphSpec, StateSpec

# It would tell its maker of its use, from a thread that it starts when it is imported.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
import onnxruntime

Array = NDArray[Any]
State = tuple[NDArray[np.float32], ...]


@dataclass(frozen=True, slots=True)
class Ran:
    outputs: NDArray[np.float32]
    """The graph's first output, batch first."""
    state: State
    attention: NDArray[np.float32] | None = None
    """Its second, where it has one: `[batch, time, heads]`, what part each step had in the answer;
    of a decoder `[batch, time, source_time]`, where each step looked."""

    def named(self, spec: GraphSpec) -> dict[str, NDArray[np.float32]]:
        """All outputs, by the names that they have in the graph."""
        given = [self.outputs, *([] if self.attention is None else [self.attention])]
        return {output.name: array for output, array in zip(spec.outputs, given, strict=True)}


class Runner:
    """ONNX Runtime on one thread of the CPU; remembers nothing between calls.

    A graph of single steps takes no lengths, and inputs of one step.
    """

    def __init__(self, model: bytes | Path, spec: GraphSpec) -> None:
        self._session = _session(model)
        self.spec = spec
        self._takes_lengths = any(put.name == spec.lengths for put in self._session.get_inputs())

    def initial_state(self, num_rows: int) -> State:
        return tuple(np.zeros(_shape(pair, num_rows), np.float32) for pair in self.spec.state)

    def run(
        self, inputs: Array, lengths: NDArray[np.int32] | None = None, state: State | None = None
    ) -> Ran:
        """`inputs [batch, time, ...]`; `lengths [batch]`, None for full rows."""
        rows, steps = inputs.shape[:2]
        lengths = np.full(rows, steps, np.int32) if lengths is None else lengths
        state = self.initial_state(rows) if state is None else state
        feeds = {self.spec.input.name: inputs}
        if self._takes_lengths:
            feeds[self.spec.lengths] = lengths
        feeds |= {pair.input: part for pair, part in zip(self.spec.state, state, strict=True)}
        return _run(self._session, self.spec, feeds)


@dataclass(frozen=True, slots=True)
class Memory:
    """What an encoder made of a batch of sources."""

    values: NDArray[np.float32]
    """`[batch, source_time, features]`"""
    lengths: NDArray[np.int32]
    state: State
    """Where the decoder begins; each `[layers, batch, hidden]`."""

    def pick(self, rows: Sequence[int]) -> "Memory":
        """Some of the rows, in that order, each as often as it is named."""
        state = tuple(part[:, rows] for part in self.state)
        return Memory(self.values[rows], self.lengths[rows], state)


class PairRunner:
    """An encoder and a decoder, run as the service runs them; remembers nothing between calls."""

    def __init__(
        self, encoder: bytes | Path, decoder: bytes | Path, *, reads: EncoderSpec, writes: GraphSpec
    ) -> None:
        assert writes.memory is not None
        self._encoder, self._decoder = _session(encoder), _session(decoder)
        self.reads, self.writes = reads, writes
        self._memory = writes.memory

    def encode(self, tokens: NDArray[np.int64], lengths: NDArray[np.int32]) -> Memory:
        """`tokens [batch, source_time]`"""
        names = [self.reads.memory.name, *self.reads.state]
        feeds = {self.reads.input.name: tokens, self.reads.lengths: lengths}
        values, *state = cast("list[NDArray[np.float32]]", self._encoder.run(names, feeds))
        return Memory(values, lengths, tuple(state))

    def decode(
        self,
        tokens: NDArray[np.int64],
        memory: Memory,
        *,
        lengths: NDArray[np.int32] | None = None,
    ) -> Ran:
        """`tokens [batch, time]`, from the memory's state; `lengths [batch]`, None for full.

        The outputs are the logits `[batch, time, tokens]`.
        """
        spec = self.writes
        lengths = np.full(len(tokens), tokens.shape[1], np.int32) if lengths is None else lengths
        feeds: dict[str, Array] = {spec.input.name: tokens, spec.lengths: lengths}
        feeds |= {pair.input: part for pair, part in zip(spec.state, memory.state, strict=True)}
        feeds |= {self._memory.name: memory.values, self._memory.lengths: memory.lengths}
        return _run(self._decoder, spec, feeds)


AnyRunner = Runner | PairRunner


def open_runner(artifact: Artifact) -> AnyRunner:
    """The float32 graphs of a version."""
    manifest = artifact.manifest
    if manifest.encoder is None:
        return Runner(artifact.model_path, manifest.graph)
    return PairRunner(
        artifact.encoder_path, artifact.model_path, reads=manifest.encoder, writes=manifest.graph
    )


def _run(session: onnxruntime.InferenceSession, spec: GraphSpec, feeds: dict[str, Array]) -> Ran:
    answers = [output.name for output in spec.outputs]
    names = [*answers, *(pair.output for pair in spec.state)]
    given = cast("list[NDArray[np.float32]]", session.run(names, feeds))
    attention = given[1] if len(answers) > 1 else None
    return Ran(given[0], tuple(given[len(answers) :]), attention)


def _session(model: bytes | Path) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    source = str(model) if isinstance(model, Path) else model
    return onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])


def _shape(pair: StateSpec, num_rows: int) -> tuple[int, ...]:
    return tuple(size if isinstance(size, int) else num_rows for size in pair.shape)

"""A graph is believed when measured: torch's numbers, alone, in company and in pieces.

Differences are `|seen - expected| / max(1, |expected|)`, the largest over all valid steps, all
rows and the final states.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from onnxruntime.capi.onnxruntime_pybind11_state import Fail, InvalidArgument, RuntimeException

from training.export.draft import graph_inputs, graph_outputs
from training.export.graph import Graph, Network
from training.export.weights import OPERATORS
from training.nn.models import Forecaster, LanguageModel, SequenceClassifier
from training.nn.recurrent import RecurrentStack
from training.runner import Array, Ran, Runner, State

ONNX_EQUALS_TORCH = "onnx_equals_torch"
ALONE_EQUALS_COMPANY = "alone_equals_company"
CHUNKS_EQUAL_WHOLE = "chunks_equal_whole"
PADDING_CHANGES_NOTHING = "padding_changes_nothing"

_AS_TORCH = 1e-4
"""Two runtimes round apart, and trained weights widen it from step to step; the service allows
as much between two machines."""
_AS_ITSELF = 1e-5
"""One runtime that sums in another order."""
_SHAPES = ((1, 1), (1, 7), (2, 1), (3, 9), (5, 33), (8, 64))
"""(rows, steps) of the ragged batches that are compared with torch."""
_ROWS, _STEPS = 32, 64
_COMPANIES = (1, 2, 5)
_CHUNKS = (1, 3, 16)
_NEWEST_OPSET = 21


class VerificationError(Exception):
    """The graph is not the network, or an answer depends on what it must not."""


@dataclass(frozen=True, slots=True)
class _Rows:
    """A ragged batch from some state; padding is zero."""

    inputs: Array
    lengths: NDArray[np.int32]
    state: State

    def pick(self, rows: Sequence[int]) -> "_Rows":
        """Some of the rows, trimmed to the longest of them."""
        lengths = self.lengths[rows]
        inputs = self.inputs[rows, : lengths.max()]
        return _Rows(inputs, lengths, tuple(part[:, rows] for part in self.state))

    def __len__(self) -> int:
        return len(self.lengths)


def verify(network: Network, graph: Graph, *, seed: int = 0) -> dict[str, float]:
    """The largest difference seen for every claim. Raises VerificationError for the first broken.

    A causal LSTM or GRU is held to the bit: ONNX Runtime computes each row by itself.
    """
    _check_structure(network, graph)
    network = network.eval()
    draw = np.random.default_rng(seed)
    try:
        runner = Runner(graph.model.SerializeToString(), graph.spec)
        seen = {ONNX_EQUALS_TORCH: _from_torch(network, runner, draw)}
        batch = _random_rows(network, runner, draw, rows=_ROWS, steps=_STEPS)
        seen[ALONE_EQUALS_COMPANY] = _from_company(runner, batch)
        seen[PADDING_CHANGES_NOTHING] = _from_padding(network, runner, batch, draw=draw)
        if graph.spec.state and not _stack(network).fused.bidirectional:
            seen[CHUNKS_EQUAL_WHOLE] = _from_chunks(network, runner, draw)
    except (Fail, InvalidArgument, RuntimeException) as error:
        raise VerificationError(f"ONNX Runtime refuses the graph: {error}") from error
    for claim, difference in seen.items():
        allowed = _allowed(network, claim)
        if not difference <= allowed:
            raise VerificationError(f"{claim}: differs by {difference:.2e}, allowed {allowed:.0e}")
    return seen


def _allowed(network: Network, claim: str) -> float:
    """Exact, but for the plain RNN operator, which takes another path for one row, and for
    networks that see a whole sequence, whose heads sum over time."""
    stack = _stack(network)
    exact = stack.cell in ("lstm", "gru") and not stack.fused.bidirectional
    if claim == ONNX_EQUALS_TORCH:
        return _AS_TORCH
    return 0.0 if exact or claim == PADDING_CHANGES_NOTHING else _AS_ITSELF


def _from_torch(network: Network, runner: Runner, draw: np.random.Generator) -> float:
    worst = 0.0
    for rows, steps in _SHAPES:
        batch = _random_rows(network, runner, draw, rows=rows, steps=steps)
        state = tuple(torch.from_numpy(part) for part in batch.state) or None
        with torch.no_grad():
            prediction = network(
                torch.from_numpy(batch.inputs), torch.from_numpy(batch.lengths).long(), state
            )
        expected = Ran(prediction.outputs.numpy(), tuple(part.numpy() for part in prediction.state))
        worst = max(worst, _difference(_run(runner, batch), expected, batch.lengths))
    return worst


def _from_company(runner: Runner, batch: _Rows) -> float:
    """Each row alone, in a pair and among five, against all rows in one call."""
    together = _run(runner, batch)
    worst = 0.0
    for size in _COMPANIES:
        for rows in _groups(len(batch), size):
            part = batch.pick(rows)
            expected = Ran(
                together.outputs[rows], tuple(state[:, rows] for state in together.state)
            )
            worst = max(worst, _difference(_run(runner, part), expected, part.lengths))
    return worst


def _from_padding(
    network: Network, runner: Runner, batch: _Rows, *, draw: np.random.Generator
) -> float:
    """Zeros in the padding against other tokens, or against what is not even a number."""
    garbage = _values(network, draw, batch.inputs.shape[:2])
    if garbage.dtype == np.float32:
        garbage = np.full_like(garbage, np.nan)
    padding = _valid(batch.lengths, batch.inputs.shape[1]) == 0
    inputs = batch.inputs.copy()
    inputs[padding] = garbage[padding]
    seen = _run(runner, replace(batch, inputs=inputs))
    return _difference(seen, _run(runner, batch), batch.lengths)


def _from_chunks(network: Network, runner: Runner, draw: np.random.Generator) -> float:
    """Step by step and chunk by chunk, for few rows and many, against one call."""
    worst = 0.0
    for rows in (*_COMPANIES, _ROWS):
        batch = _random_rows(network, runner, draw, rows=rows, steps=_STEPS)
        batch = replace(batch, lengths=np.full(rows, _STEPS, np.int32))
        whole = _run(runner, batch)
        for size in _CHUNKS:
            pieces, state = list[NDArray[np.float32]](), batch.state
            for start in range(0, _STEPS, size):
                piece = runner.run(batch.inputs[:, start : start + size], state=state)
                pieces.append(piece.outputs)
                state = piece.state
            seen = Ran(np.concatenate(pieces, axis=1), state)
            worst = max(worst, _difference(seen, whole, batch.lengths))
    return worst


def _check_structure(network: Network, graph: Graph) -> None:
    """Fused operators, one a layer; symbolic batch and time; an opset that CUDA knows."""
    stack = _stack(network)
    operators = [node.op_type for node in graph.model.graph.node]
    fused = operators.count(OPERATORS[stack.cell])
    if fused != stack.fused.num_layers:
        raise VerificationError(f"{fused} fused operators for {stack.fused.num_layers} layers")
    opset = max(entry.version for entry in graph.model.opset_import if not entry.domain)
    if opset > _NEWEST_OPSET:
        raise VerificationError(f"opset {opset} is newer than {_NEWEST_OPSET}")
    declared = [*graph_inputs(graph.spec), *graph_outputs(graph.spec)]
    values = [*graph.model.graph.input, *graph.model.graph.output]
    for value, (name, _, shape) in zip(values, declared, strict=True):
        dims = value.type.tensor_type.shape.dim
        seen = tuple(dim.dim_param or dim.dim_value for dim in dims)
        if (value.name, seen) != (name, tuple(shape)):
            raise VerificationError(f"{value.name} is declared {seen}, expected {name} {shape}")


def _random_rows(
    network: Network, runner: Runner, draw: np.random.Generator, *, rows: int, steps: int
) -> _Rows:
    lengths = draw.integers(1, steps + 1, rows).astype(np.int32)
    lengths[0] = steps
    inputs = _values(network, draw, (rows, steps))
    inputs[_valid(lengths, steps) == 0] = 0
    shapes = [part.shape for part in runner.initial_state(rows)]
    state = tuple(draw.normal(0, 0.5, shape).astype(np.float32) for shape in shapes)
    return _Rows(inputs, lengths, state)


def _values(network: Network, draw: np.random.Generator, shape: tuple[int, ...]) -> Array:
    """Inputs as the network may meet them, `[batch, time]` or `[batch, time, features]`."""
    match network:
        case LanguageModel() | SequenceClassifier():
            return draw.integers(0, network.embedding.num_embeddings, shape)
        case Forecaster():
            mean, deviation = network.mean.numpy(), network.deviation.numpy()
            values = draw.normal(mean, deviation, (*shape, network.num_features))
        case _:
            values = draw.normal(0, 1, (*shape, network.fused.input_size))
    return values.astype(np.float32)


def _run(runner: Runner, batch: _Rows) -> Ran:
    return runner.run(batch.inputs, batch.lengths, batch.state)


def _difference(seen: Ran, expected: Ran, lengths: NDArray[np.int32]) -> float:
    pairs = [(seen.outputs, expected.outputs), *zip(seen.state, expected.state, strict=True)]
    if seen.outputs.ndim > 2:  # one output a step; without a time axis all of it counts
        pairs[0] = (_at_valid(seen.outputs, lengths), _at_valid(expected.outputs, lengths))
    return max(_largest(a, b) for a, b in pairs)


def _largest(seen: Array, expected: Array) -> float:
    if seen.shape != expected.shape or not np.isfinite(seen).all():
        return float("inf")
    return float((np.abs(seen - expected) / np.maximum(1.0, np.abs(expected))).max())


def _at_valid(outputs: Array, lengths: NDArray[np.int32]) -> Array:
    return outputs[_valid(lengths, outputs.shape[1])]


def _valid(lengths: NDArray[np.int32], steps: int) -> NDArray[np.bool_]:
    return np.arange(steps) < lengths[:, None]  # [batch, time]


def _groups(count: int, size: int) -> Iterator[list[int]]:
    for start in range(0, count, size):
        yield list(range(start, min(start + size, count)))


def _stack(network: Network) -> RecurrentStack:
    return network if isinstance(network, RecurrentStack) else network.stack

"""A graph is believed when measured: torch's numbers, alone, in company and in pieces.

Without torch, a graph can still be held to itself: see `claims`.
"""

from functools import partial

import numpy as np
import torch

from training.config import Cell
from training.export.claims import (
    ALONE_EQUALS_COMPANY,
    CHUNKS_EQUAL_WHOLE,
    LOUDNESS,
    PADDING_CHANGES_NOTHING,
    ROWS,
    STEPS,
    VerificationError,
    difference,
    from_chunks,
    from_company,
    from_padding,
    hold,
    random_rows,
    refusals,
    run,
)
from training.export.draft import graph_inputs, graph_outputs
from training.export.graph import Graph
from training.export.networks import Network
from training.export.weights import OPERATORS
from training.nn.cells import NORMALISED
from training.nn.models import Forecaster, LanguageModel, Prediction, SequenceClassifier
from training.nn.recurrent import RecurrentStack
from training.nn.signals import SignalNetwork
from training.nn.speech import Listener
from training.nn.tagger import Tagger
from training.runner import Array, Ran, Runner

ONNX_EQUALS_TORCH = "onnx_equals_torch"

_AS_TORCH = 1e-4
"""Two runtimes round apart, and trained weights widen it from step to step."""
_WIDENED_BY_NORMS = 10
"""A norm inside of a cell divides by what may be small, at every step: over 64 steps of random
weights either runtime is 1e-4 off float64."""
_AS_ITSELF = 1e-5
"""One runtime that sums in another order."""
_SHAPES = ((1, 1), (1, 7), (2, 1), (3, 9), (5, 33), (8, 64))
"""(rows, steps) of the ragged batches that are compared with torch."""
_NEWEST_OPSET = 21


def verify(network: Network, graph: Graph, *, seed: int = 0) -> dict[str, float]:
    """The largest difference seen for every claim. Raises VerificationError for the first broken.

    A causal network is held to the bit: ONNX Runtime computes each row by itself.
    """
    _check_structure(network, graph)
    network = network.eval()
    draw, values = np.random.default_rng(seed), partial(_values, network)
    with refusals():
        runner = Runner(graph.model.SerializeToString(), graph.spec)
        seen = {ONNX_EQUALS_TORCH: _from_torch(network, runner, draw)}
        batch = random_rows(runner, values, draw, rows=ROWS, steps=STEPS)
        seen[ALONE_EQUALS_COMPANY] = from_company(runner, batch)
        seen[PADDING_CHANGES_NOTHING] = from_padding(runner, values, batch, draw=draw)
        if graph.spec.state and _stack(network).directions == 1:
            seen[CHUNKS_EQUAL_WHOLE] = from_chunks(runner, values, draw)
    whole = not graph.spec.state or _stack(network).directions == 2
    cell = _stack(network).cell
    hold(seen, {claim: _allowed(claim, cell, whole=whole) for claim in seen})
    return seen


def as_torch(cell: Cell) -> float:
    """How far two runtimes may be apart; as far, the service allows two machines to be."""
    return widened(_AS_TORCH, cell)


def widened(tolerance: float, cell: Cell) -> float:
    """What becomes of a difference of rounding in a cell."""
    return tolerance * _WIDENED_BY_NORMS if cell in NORMALISED else tolerance


def _allowed(claim: str, cell: Cell, *, whole: bool) -> float:
    """Exact, but for networks that see a whole sequence, whose heads sum over time."""
    if claim == ONNX_EQUALS_TORCH:
        return as_torch(cell)
    exact = not whole or claim == PADDING_CHANGES_NOTHING
    return 0.0 if exact else widened(_AS_ITSELF, cell)


def _from_torch(network: Network, runner: Runner, draw: np.random.Generator) -> float:
    worst = 0.0
    for rows, steps in _SHAPES:
        batch = random_rows(runner, partial(_values, network), draw, rows=rows, steps=steps)
        state = tuple(torch.from_numpy(part) for part in batch.state) or None
        with torch.no_grad():
            prediction = network(
                torch.from_numpy(batch.inputs), torch.from_numpy(batch.lengths).long(), state
            )
        weights = prediction.attention if isinstance(prediction, Prediction) else None
        expected = Ran(
            prediction.outputs.numpy(),
            tuple(part.numpy() for part in prediction.state),
            None if weights is None else weights.numpy(),
        )
        worst = max(worst, difference(run(runner, batch), expected, batch.lengths))
    return worst


def _check_structure(network: Network, graph: Graph) -> None:
    """Fused operators, one a layer, or one loop a direction; symbolic batch and time; an opset
    that CUDA knows."""
    stack = _stack(network)
    operators = [node.op_type for node in graph.model.graph.node]
    operator, expected = OPERATORS.get(stack.cell, "Scan"), stack.num_layers
    if operator == "Scan":
        expected *= stack.directions
    if operators.count(operator) != expected:
        seen = operators.count(operator)
        raise VerificationError(f"{seen} nodes {operator} where {expected} are expected")
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


def _values(network: Network, draw: np.random.Generator, shape: tuple[int, ...]) -> Array:
    """Inputs as the network may meet them, `[batch, time]` or `[batch, time, features]`."""
    match network:
        case LanguageModel() | SequenceClassifier() | Tagger():
            return draw.integers(0, network.embedding.num_embeddings, shape)
        case Forecaster() | SignalNetwork():
            mean, deviation = network.mean.numpy(), network.deviation.numpy()
            values = draw.normal(mean, deviation, (*shape, network.num_features))
        case Listener():
            values = draw.normal(0, LOUDNESS, (*shape, network.framing.hop))
        case _:
            values = draw.normal(0, 1, (*shape, network.num_features))
    return values.astype(np.float32)


def _stack(network: Network) -> RecurrentStack:
    return network if isinstance(network, RecurrentStack) else network.stack

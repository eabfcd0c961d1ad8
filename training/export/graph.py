"""A network becomes a graph built from its weights, node by node; nothing is traced.

That gives what no exporter gives: lengths, states in and out, ragged rows, and symbolic batch and
time all the way. The one network whose head torch exports itself is in `traced.py`.
"""

from copy import deepcopy
from dataclasses import dataclass

import numpy as np
import onnx
from numpy.typing import NDArray

from service.artifact.graphs import GraphSpec, StateSpec, TensorSpec
from training.export.draft import Draft
from training.export.linear import add_linear
from training.export.lowering.rewriting import LoweringError
from training.export.lowering.step import STEP_FILE, step_graph
from training.export.recurrent import LENGTHS, MODEL_FILE, add_stack, stack_graph, state_specs
from training.export.tagging import tagger_graph
from training.export.traced import classifier_graph
from training.export.weights import array
from training.export.windows import add_last_rows, add_windows
from training.nn.models import Forecaster, LanguageModel, SequenceClassifier
from training.nn.recurrent import RecurrentStack
from training.nn.tagger import Tagger
from training.runner import Runner

Network = LanguageModel | SequenceClassifier | Forecaster | Tagger | RecurrentStack


@dataclass(frozen=True, slots=True)
class Graph:
    model: onnx.ModelProto
    spec: GraphSpec
    step: onnx.ModelProto | None = None
    """For single steps, where `spec` names a file of it."""

    @property
    def files(self) -> dict[str, bytes]:
        """What is published of it."""
        models = {self.spec.file: self.model}
        if self.step is not None and self.spec.step_file is not None:
            models[self.spec.step_file] = self.step
        return {name: serialized(model) for name, model in models.items()}

    def runner(self) -> Runner:
        return Runner(self.model.SerializeToString(), self.spec)


def build_graph(network: Network) -> Graph:
    """The graph of a trained network, with the names that the manifest will say."""
    match network:
        case LanguageModel():
            draft, spec = _language_graph(network)
        case Forecaster():
            draft, spec = _forecast_graph(network)
        case Tagger():
            draft, spec = tagger_graph(network)
        case RecurrentStack():
            draft, spec = stack_graph(network)
        case SequenceClassifier():
            return Graph(*classifier_graph(_with_one_table(network)))
    return Graph(draft.finish(spec), spec)


def _with_one_table(network: SequenceClassifier) -> SequenceClassifier:
    """The same network, whose tokens' vectors are looked up and no longer summed."""
    folded = deepcopy(network)
    folded.embedding = network.embedding.folded()
    return folded


def serialized(model: onnx.ModelProto) -> bytes:
    """The same bytes for the same graph."""
    return model.SerializeToString(deterministic=True)


def with_step(graph: Graph) -> Graph:
    """The graph and the one for single steps, where it has state and each layer can be told."""
    try:
        step = step_graph(graph.model, graph.spec)
    except LoweringError:
        return graph
    return Graph(graph.model, graph.spec.model_copy(update={"step_file": STEP_FILE}), step)


def _language_graph(network: LanguageModel) -> tuple[Draft, GraphSpec]:
    num_tokens = network.head.out_features
    spec = GraphSpec(
        file=MODEL_FILE,
        inputs=(TensorSpec(name="tokens", dtype="int64", shape=("batch", "time")),),
        lengths=LENGTHS,
        outputs=(TensorSpec(name="logits", dtype="float32", shape=("batch", "time", num_tokens)),),
        state=state_specs(network.stack),
    )
    draft = Draft()
    embedding = draft.constant("embedding", array(network.embedding.weight))
    tokens = draft.transpose("tokens", "tokens_by_time", (1, 0))  # [time, batch]
    steps = draft.add("Gather", [embedding, tokens], "embedded")
    steps = add_stack(draft, network.stack, steps)
    scores = add_linear(draft, steps, "head", network.head)
    draft.transpose(scores, "logits", (1, 0, 2))
    return draft, spec


def _forecast_graph(network: Forecaster) -> tuple[Draft, GraphSpec]:
    features, horizon = network.num_features, network.horizon
    shape = (network.recent_steps, "batch", features)
    recent = StateSpec(input="recent_in", output="recent_out", shape=shape, batch_axis=1)
    forecast = ("batch", "time", horizon, features)
    spec = GraphSpec(
        file=MODEL_FILE,
        inputs=(TensorSpec(name="values", dtype="float32", shape=("batch", "time", features)),),
        lengths=LENGTHS,
        outputs=(TensorSpec(name="forecast", dtype="float32", shape=forecast),),
        state=(*state_specs(network.stack), recent),
    )
    draft = Draft()
    mean = draft.constant("mean", array(network.mean))
    deviation = draft.constant("deviation", array(network.deviation))
    centred = draft.add("Sub", ["values", mean], "centred")
    scaled = draft.add("Div", [centred, deviation], "scaled_by_batch")
    scaled = draft.transpose(scaled, "scaled", (1, 0, 2))  # [time, batch, features]
    rows = draft.add("Concat", ["recent_in", scaled], "rows", {"axis": 0})
    add_last_rows(draft, rows, "recent", network.recent_steps)
    windows = add_windows(draft, rows, network.recent_steps)
    anchor, level = _add_reading(draft, windows, network)

    distances = _add_distances(draft, scaled, level, windows=windows)
    steps = add_stack(draft, network.stack, distances)
    added = add_linear(draft, steps, "head", network.head)
    added = draft.add("Reshape", [added, draft.integers(0, 0, horizon, features)], "added")
    together = draft.add("Add", [anchor, added], "forecast_scaled")
    in_units = draft.add("Mul", [together, deviation], "forecast_centred")
    in_units = draft.add("Add", [in_units, mean], "forecast_by_time")
    draft.transpose(in_units, "forecast", (1, 0, 2, 3))
    return draft, spec


def _add_reading(draft: Draft, windows: str, network: Forecaster) -> tuple[str, str]:
    """The anchor `[time, batch, horizon, features]` and the level `[time, batch, features]`.

    One product gives both: a mean over an axis may round by the batch's shape, a product with
    constant weights does not.
    """
    reading = draft.constant("reading", _reading(network))  # [recent, horizon + 1]
    read = draft.add("MatMul", [windows, reading], "read")
    sizes = draft.integers(network.horizon, 1)
    anchor, level = draft.add_many("Split", [read, sizes], ["anchor", "level_kept"], {"axis": 3})
    level = draft.add("Squeeze", [level, draft.integers(3)], "level")
    return draft.transpose(anchor, "anchor_by_hour", (0, 1, 3, 2)), level


def _add_distances(draft: Draft, scaled: str, level: str, *, windows: str) -> str:
    """How far each step is from the level and from the oldest row, `[time, batch, 2 features]`."""
    first = draft.integer(0)
    oldest = draft.add("Gather", [windows, first], "oldest", {"axis": 3})
    from_level = draft.add("Sub", [scaled, level], "from_level")
    from_oldest = draft.add("Sub", [scaled, oldest], "from_oldest")
    return draft.add("Concat", [from_level, from_oldest], "distances", {"axis": 2})


def _reading(network: Forecaster) -> NDArray[np.float32]:
    """`level + A (recent - level)` and `level` as one matrix `[recent, horizon + 1]`."""
    count = network.recent_steps
    level = np.full((count, 1), 1.0 / count)
    read = array(network.reading.weight).astype(np.float64).T  # [recent, horizon]
    anchor = level + (np.eye(count) - level @ np.ones((1, count))) @ read
    return np.concatenate([anchor, level], axis=1).astype(np.float32)

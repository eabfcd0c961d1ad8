"""Small real artifacts, built without torch: what the service can load, in a few milliseconds.

- `running-total`: causal, numeric; its forecast is the total of all that the row has seen.
- `banded-total`: the same with quantiles, which are the total less one, the total, and one more.
- `babble`: causal, text; an LSTM with random weights over bytes, so that characters get split.
- `stress`: causal, text; tags each word by its id, and tells an intent by the total so far.
- `knocks`: causal, sound; writes `a` for hops of high sum and `b` for low, keeps the total.
- `parity`: not causal; classifies whole sequences of tokens by the sum of their ids. It says that
  one head looked at all of them alike, and another at the last one alone.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
from onnx import TensorProto, helper, numpy_helper
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

from service.artifact.artifact import ProbeData, digest, dump_probe, save_artifact
from service.artifact.graphs import GraphSpec, StateSpec, TensorSpec
from service.artifact.manifest import Limits, Manifest, Provenance
from service.artifact.tasks import (
    AnyOutput,
    AudioInput,
    ClassificationOutput,
    CtcOutput,
    ForecastingOutput,
    LanguageModelingOutput,
    NumericInput,
    SamplingDefaults,
    TaggingOutput,
    Task,
    TextInput,
)

_LENGTHS = helper.make_tensor_value_info("lengths", TensorProto.INT32, ["batch"])
_PROVENANCE = Provenance(recipe="test", commit="none", created="2026-01-01T00:00:00Z", data="none")
_HIDDEN = 32
_VOCAB = 256


def save_running_total(models_dir: Path, *, version: int = 1, scale: float = 1.0) -> Path:
    """`scale` multiplies the total, so that versions can be told apart."""
    forecast = helper.make_node("Unsqueeze", ["scaled", "axis_3"], ["forecast"])
    return _save_total(
        models_dir,
        [forecast],
        {"name": "running-total", "version": version},
        output=ForecastingOutput(horizon=1, targets=("total",)),
        constants={"scale": np.float32(scale), "axis_3": np.array([3])},
    )


def save_banded_total(models_dir: Path, *, version: int = 1) -> Path:
    nodes = [
        helper.make_node("Unsqueeze", ["scaled", "axes_2_3"], ["median"]),
        helper.make_node("Add", ["median", "bands"], ["forecast"]),
    ]
    bands = np.array([-1, 0, 1], np.float32).reshape(3, 1, 1)
    return _save_total(
        models_dir,
        nodes,
        {"name": "banded-total", "version": version},
        output=ForecastingOutput(horizon=1, targets=("total",), quantiles=(0.1, 0.5, 0.9)),
        constants={"scale": np.float32(1), "axes_2_3": np.array([2, 3]), "bands": bands},
    )


def _save_total(
    models_dir: Path,
    nodes: Sequence[onnx.NodeProto],
    head: dict[str, Any],
    *,
    output: ForecastingOutput,
    constants: dict[str, Any],
) -> Path:
    """`nodes` make `forecast` of `scaled [batch, time, 1]`."""
    nodes = [
        *_valid_mask("values"),
        helper.make_node("Where", ["valid", "values", "zero_f"], ["masked"]),
        helper.make_node("CumSum", ["masked", "one"], ["sums"]),
        helper.make_node("Transpose", ["total_in"], ["before"], perm=[1, 0, 2]),
        helper.make_node("Add", ["sums", "before"], ["totals"]),  # [batch, time, 1]
        helper.make_node("ReduceSum", ["masked", "one_1d"], ["added"], keepdims=1),
        helper.make_node("Add", ["before", "added"], ["after"]),
        helper.make_node("Transpose", ["after"], ["total_out"], perm=[1, 0, 2]),
        helper.make_node("Mul", ["totals", "scale"], ["scaled"]),
        *nodes,
    ]
    shape = (*([len(output.quantiles)] if output.quantiles else []), 1, 1)
    graph = _graph(
        nodes,
        inputs=[_float("values", "batch", "time", 1), _LENGTHS, _float("total_in", 1, "batch", 1)],
        outputs=[
            _float("forecast", "batch", "time", *shape),
            _float("total_out", 1, "batch", 1),
        ],
        constants=constants
        | {"one": np.int64(1), "one_1d": np.array([1]), "zero_f": np.float32(0)},
    )
    spec = GraphSpec(
        file="model.onnx",
        inputs=(TensorSpec(name="values", dtype="float32", shape=("batch", "time", 1)),),
        lengths="lengths",
        outputs=(TensorSpec(name="forecast", dtype="float32", shape=("batch", "time", *shape)),),
        state=(
            StateSpec(input="total_in", output="total_out", shape=(1, "batch", 1), batch_axis=1),
        ),
    )
    return _save(
        models_dir,
        graph,
        {**head, "task": Task.FORECASTING, "causal": True},
        graph_spec=spec,
        reads=NumericInput(features=("value",)),
        output=output,
        probe=np.arange(6, dtype=np.float32).reshape(2, 3, 1),
    )


KNOCKS_HOP = 4


def save_knocks(models_dir: Path) -> Path:
    """A hop whose sum is above 1 tells `a`, one below -1 tells `b`, any other the blank."""
    hop = KNOCKS_HOP
    nodes = [
        *_valid_mask("samples"),
        helper.make_node("Where", ["valid", "samples", "zero_f"], ["masked"]),
        helper.make_node("ReduceSum", ["masked", "axis_2"], ["sums"], keepdims=1),
        helper.make_node("MatMul", ["sums", "weights"], ["product"]),
        helper.make_node("Add", ["product", "bias"], ["logits"]),  # [batch, time, 3]
        helper.make_node("ReduceSum", ["sums", "one_1d"], ["added"], keepdims=1),
        helper.make_node("Transpose", ["added"], ["added_by_time"], perm=[1, 0, 2]),
        helper.make_node("Add", ["total_in", "added_by_time"], ["total_out"]),
    ]
    constants = {
        "zero_f": np.float32(0),
        "one_1d": np.array([1]),
        "weights": np.array([[0, 1, -1]], np.float32),
        "bias": np.array([1, 0, 0], np.float32),
    }
    graph = _graph(
        nodes,
        inputs=[
            _float("samples", "batch", "time", hop),
            _LENGTHS,
            _float("total_in", 1, "batch", 1),
        ],
        outputs=[_float("logits", "batch", "time", 3), _float("total_out", 1, "batch", 1)],
        constants=constants,
    )
    spec = GraphSpec(
        file="model.onnx",
        inputs=(TensorSpec(name="samples", dtype="float32", shape=("batch", "time", hop)),),
        lengths="lengths",
        outputs=(TensorSpec(name="logits", dtype="float32", shape=("batch", "time", 3)),),
        state=(
            StateSpec(input="total_in", output="total_out", shape=(1, "batch", 1), batch_axis=1),
        ),
    )
    return _save(
        models_dir,
        graph,
        {"name": "knocks", "version": 1, "task": Task.CTC, "causal": True},
        graph_spec=spec,
        reads=AudioInput(sample_rate=2 * hop, hop=hop),
        output=CtcOutput(labels=("a", "b"), step_seconds=0.5),
        probe=np.linspace(-1, 1, 6 * hop, dtype=np.float32).reshape(2, 3, hop),
    )


def save_babble(models_dir: Path, *, version: int = 1, seed: int = 0) -> Path:
    rng = np.random.default_rng(seed)

    def weights(*shape: int, size: float) -> np.ndarray:
        return rng.normal(0, size, shape).astype(np.float32)

    nodes = [
        helper.make_node("Transpose", ["tokens"], ["tokens_t"], perm=[1, 0]),
        helper.make_node("Gather", ["embedding", "tokens_t"], ["x"]),
        helper.make_node(
            "LSTM",
            ["x", "W", "R", "B", "lengths", "h_in", "c_in"],
            ["y", "h_out", "c_out"],
            hidden_size=_HIDDEN,
        ),
        helper.make_node("Squeeze", ["y", "one_1d"], ["hidden"]),  # [time, batch, hidden]
        helper.make_node("MatMul", ["hidden", "head"], ["logits_t"]),
        helper.make_node("Transpose", ["logits_t"], ["logits"], perm=[1, 0, 2]),
    ]
    constants = {
        "embedding": weights(_VOCAB, 16, size=1.0),
        "W": weights(1, 4 * _HIDDEN, 16, size=0.5),
        "R": weights(1, 4 * _HIDDEN, _HIDDEN, size=0.5),
        "B": weights(1, 8 * _HIDDEN, size=0.1),
        "head": weights(_HIDDEN, _VOCAB, size=1.0),
        "one_1d": np.array([1]),
    }
    tokens = helper.make_tensor_value_info("tokens", TensorProto.INT64, ["batch", "time"])
    states = [_float(name, 1, "batch", _HIDDEN) for name in ("h_in", "c_in", "h_out", "c_out")]
    graph = _graph(
        nodes,
        inputs=[tokens, _LENGTHS, *states[:2]],
        outputs=[_float("logits", "batch", "time", _VOCAB), *states[2:]],
        constants=constants,
    )
    spec = GraphSpec(
        file="model.onnx",
        inputs=(TensorSpec(name="tokens", dtype="int64", shape=("batch", "time")),),
        lengths="lengths",
        outputs=(TensorSpec(name="logits", dtype="float32", shape=("batch", "time", _VOCAB)),),
        state=tuple(
            StateSpec(
                input=f"{name}_in", output=f"{name}_out", shape=(1, "batch", _HIDDEN), batch_axis=1
            )
            for name in ("h", "c")
        ),
    )
    return _save(
        models_dir,
        graph,
        {"name": "babble", "version": version, "task": Task.LANGUAGE_MODELING, "causal": True},
        graph_spec=spec,
        reads=TextInput(num_tokens=_VOCAB),
        output=LanguageModelingOutput(start_token=0, sampling=SamplingDefaults(max_tokens=16)),
        probe=rng.integers(0, _VOCAB, (2, 5)),
        tokenizer=byte_tokenizer(),
    )


def save_parity(models_dir: Path, *, version: int = 1) -> Path:
    nodes = [
        *_valid_mask("tokens"),
        helper.make_node("Squeeze", ["valid", "two_1d"], ["valid_2d"]),
        helper.make_node("Where", ["valid_2d", "tokens", "zero_i"], ["masked"]),
        helper.make_node("ReduceSum", ["masked", "one_1d"], ["sum"], keepdims=1),
        helper.make_node("Mod", ["sum", "two"], ["odd_i"]),
        helper.make_node("Cast", ["odd_i"], ["odd"], to=TensorProto.FLOAT),
        helper.make_node("Neg", ["odd"], ["even"]),
        helper.make_node("Concat", ["even", "odd"], ["logits"], axis=1),
        helper.make_node("Cast", ["valid"], ["is_valid"], to=TensorProto.FLOAT),  # [batch, time, 1]
        helper.make_node("Cast", ["lengths_2d"], ["lengths_f"], to=TensorProto.FLOAT),
        helper.make_node("Unsqueeze", ["lengths_f", "two_1d"], ["lengths_3d"]),
        helper.make_node("Div", ["is_valid", "lengths_3d"], ["alike"]),
        helper.make_node("Add", ["steps", "one_0d"], ["ends"]),
        helper.make_node("Equal", ["ends", "lengths_2d"], ["is_last"]),
        helper.make_node("Unsqueeze", ["is_last", "two_1d"], ["is_last_3d"]),
        helper.make_node("Cast", ["is_last_3d"], ["last"], to=TensorProto.FLOAT),
        helper.make_node("Concat", ["alike", "last"], ["attention"], axis=2),
    ]
    constants = {"one_1d": np.array([1]), "two_1d": np.array([2]), "two": np.int64(2)}
    constants["zero_i"] = np.int64(0)
    tokens = helper.make_tensor_value_info("tokens", TensorProto.INT64, ["batch", "time"])
    graph = _graph(
        nodes,
        inputs=[tokens, _LENGTHS],
        outputs=[_float("logits", "batch", 2), _float("attention", "batch", "time", 2)],
        constants=constants,
    )
    spec = GraphSpec(
        file="model.onnx",
        inputs=(TensorSpec(name="tokens", dtype="int64", shape=("batch", "time")),),
        lengths="lengths",
        outputs=(
            TensorSpec(name="logits", dtype="float32", shape=("batch", 2)),
            TensorSpec(name="attention", dtype="float32", shape=("batch", "time", 2)),
        ),
    )
    return _save(
        models_dir,
        graph,
        {"name": "parity", "version": version, "task": Task.CLASSIFICATION, "causal": False},
        graph_spec=spec,
        reads=TextInput(num_tokens=_VOCAB),
        output=ClassificationOutput(labels=("even", "odd"), attention="attention"),
        probe=np.array([[1, 2, 3], [4, 5, 6]]),
        tokenizer=byte_tokenizer(),
        limits=Limits(max_steps=1000),
    )


def save_stress(models_dir: Path, *, version: int = 1) -> Path:
    """Words `odd` and `even`; others are cut into letters. An odd id is tagged `ODD`."""
    nodes = [
        *_valid_mask("tokens"),
        helper.make_node("Cast", ["tokens"], ["ids"], to=TensorProto.FLOAT),
        helper.make_node("Unsqueeze", ["ids", "axis_2"], ["values"]),  # [batch, time, 1]
        helper.make_node("Where", ["valid", "values", "zero_f"], ["masked"]),
        helper.make_node("CumSum", ["masked", "one"], ["sums"]),
        helper.make_node("Transpose", ["total_in"], ["before"], perm=[1, 0, 2]),
        helper.make_node("Add", ["sums", "before"], ["totals"]),
        helper.make_node("ReduceSum", ["masked", "axis_1"], ["added"], keepdims=1),
        helper.make_node("Add", ["before", "added"], ["after"]),
        helper.make_node("Transpose", ["after"], ["total_out"], perm=[1, 0, 2]),
        helper.make_node("Mod", ["values", "two"], ["odd"], fmod=1),
        helper.make_node("Mod", ["totals", "two"], ["odd_so_far"], fmod=1),
        helper.make_node("Neg", ["odd"], ["even"]),
        helper.make_node("Neg", ["odd_so_far"], ["even_so_far"]),
        helper.make_node(
            "Concat", ["even", "odd", "even_so_far", "odd_so_far"], ["scores"], axis=2
        ),
    ]
    constants = {"one": np.int64(1), "zero_f": np.float32(0), "two": np.float32(2)}
    tokens = helper.make_tensor_value_info("tokens", TensorProto.INT64, ["batch", "time"])
    graph = _graph(
        nodes,
        inputs=[tokens, _LENGTHS, _float("total_in", 1, "batch", 1)],
        outputs=[_float("scores", "batch", "time", 4), _float("total_out", 1, "batch", 1)],
        constants=constants,
    )
    spec = GraphSpec(
        file="model.onnx",
        inputs=(TensorSpec(name="tokens", dtype="int64", shape=("batch", "time")),),
        lengths="lengths",
        outputs=(TensorSpec(name="scores", dtype="float32", shape=("batch", "time", 4)),),
        state=(
            StateSpec(input="total_in", output="total_out", shape=(1, "batch", 1), batch_axis=1),
        ),
    )
    return _save(
        models_dir,
        graph,
        {"name": "stress", "version": version, "task": Task.TAGGING, "causal": True},
        graph_spec=spec,
        reads=TextInput(num_tokens=len(_PIECES)),
        output=TaggingOutput(tags=("EVEN", "ODD"), intents=("even", "odd")),
        probe=np.array([[1, 2, 3], [4, 5, 6]]),
        tokenizer=piece_tokenizer(),
    )


_PIECES = ("[UNK]", "odd", "even", "o", "##d", "e", "##v", "##e", "##n", "d", "v", "n")


def piece_tokenizer() -> bytes:
    """Words between spaces, cut into the longest pieces there are."""
    places = {piece: place for place, piece in enumerate(_PIECES)}
    tokenizer = Tokenizer(models.WordPiece(places, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.decoder = decoders.WordPiece(cleanup=False)
    return tokenizer.to_str().encode()


def byte_tokenizer() -> bytes:
    """One token a byte: characters beyond ASCII take several."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE({c: i for i, c in enumerate(alphabet)}, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer.to_str().encode()


def _valid_mask(values: str) -> list[onnx.NodeProto]:
    """`valid [batch, time, 1]`: whether a step is within its row's length."""
    return [
        helper.make_node("Shape", [values], ["time_1d"], start=1, end=2),
        helper.make_node("Squeeze", ["time_1d"], ["time"]),
        helper.make_node("Range", ["zero_0d", "time", "one_0d"], ["steps"]),
        helper.make_node("Cast", ["lengths"], ["lengths_i"], to=TensorProto.INT64),
        helper.make_node("Unsqueeze", ["lengths_i", "axis_1"], ["lengths_2d"]),
        helper.make_node("Less", ["steps", "lengths_2d"], ["valid_bt"]),
        helper.make_node("Unsqueeze", ["valid_bt", "axis_2"], ["valid"]),
    ]


def _float(name: str, *shape: str | int) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, list(shape))


def _graph(
    nodes: Sequence[onnx.NodeProto],
    *,
    inputs: Sequence[onnx.ValueInfoProto],
    outputs: Sequence[onnx.ValueInfoProto],
    constants: dict[str, Any],
) -> bytes:
    constants = {
        "zero_0d": np.int64(0),
        "one_0d": np.int64(1),
        "axis_1": np.array([1]),
        "axis_2": np.array([2]),
    } | constants
    used = {name for node in nodes for name in node.input}
    initializers = [
        numpy_helper.from_array(np.asarray(value), name)
        for name, value in constants.items()
        if name in used
    ]
    graph = helper.make_graph(list(nodes), "test", list(inputs), list(outputs), initializers)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model, full_check=True)
    return model.SerializeToString()


def _save(
    models_dir: Path,
    graph: bytes,
    head: dict[str, Any],
    *,
    graph_spec: GraphSpec,
    reads: TextInput | NumericInput | AudioInput,
    output: AnyOutput,
    probe: np.ndarray,
    tokenizer: bytes | None = None,
    limits: Limits | None = None,
) -> Path:
    files = {"model.onnx": graph, "probe.npz": dump_probe(_probe(graph, graph_spec, probe))}
    if tokenizer is not None:
        files["tokenizer.json"] = tokenizer
    manifest = Manifest(
        **head,
        description="made for a test",
        graph=graph_spec,
        input=reads,
        output=output,
        limits=limits or Limits(),
        files={name: digest(data) for name, data in files.items()},
        provenance=_PROVENANCE,
    )
    folder = models_dir / manifest.name / str(manifest.version)
    save_artifact(folder, manifest, files)
    return folder


def _probe(graph: bytes, spec: GraphSpec, values: np.ndarray) -> ProbeData:
    rows, steps = values.shape[:2]
    lengths = np.array([steps] + [1] * (rows - 1), np.int32)
    feeds: dict[str, Any] = {spec.input.name: values, spec.lengths: lengths}
    for state in spec.state:
        shape = [rows if d == "batch" else d for d in state.shape]
        feeds[state.input] = np.zeros(shape, np.float32)
    session = ort.InferenceSession(graph, providers=["CPUExecutionProvider"])
    names = [s.name for s in spec.outputs] + [s.output for s in spec.state]
    results = session.run(names, feeds)
    outputs = dict(zip(names[: len(spec.outputs)], results, strict=False))
    return ProbeData(values, lengths, outputs, tuple(results[len(spec.outputs) :]))

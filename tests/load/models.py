"""Artifacts with random weights: two LSTM layers of 256 behind an embedding of 64."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np
import onnx
import onnxruntime as ort
from numpy.typing import NDArray
from tokenizers import Regex, Tokenizer
from tokenizers.decoders import Fuse
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Split, WhitespaceSplit

from service.artifact.artifact import ProbeData, digest, dump_probe, save_artifact
from service.artifact.graphs import GraphSpec, StateSpec, TensorSpec
from service.artifact.manifest import Manifest, Provenance
from service.artifact.tasks import ClassificationOutput, LanguageModelingOutput, Task, TextInput
from training.export.draft import Draft

EMBEDDING, HIDDEN, LAYERS = 64, 256, 2
CHARACTERS = "\n" + "".join(map(chr, range(32, 127)))  # 96
_NUM_WORDS, _NUM_CLASSES = 1000, 10
_PROBE_LENGTHS = (3, 17, 1)

Kind = Literal["language", "causal", "whole", "labelling"]


@dataclass(frozen=True, slots=True)
class Draw:
    """One model to make.

    `causal` has few classes and many words, `labelling` as many labels as characters; `whole`
    answers once, after the last step, and keeps no state.
    """

    name: str
    kind: Kind
    seed: int


DRAWS = (
    Draw("random-lm", "language", 1),
    Draw("random-classifier", "causal", 2),
    Draw("random-whole", "whole", 3),
    Draw("random-steps", "labelling", 4),
)


def write_models(folder: Path, draws: Iterable[Draw] = DRAWS) -> None:
    """Each of `draws` as `folder/name/1`; the same seeds give the same weights."""
    for draw in draws:
        _write(folder, draw)


def _write(folder: Path, draw: Draw) -> None:
    tokenizer = _characters() if draw.kind in ("language", "labelling") else _words()
    spec, graph = _graph(draw, tokenizer.get_vocab_size())
    files = {
        "model.onnx": graph.SerializeToString(),
        "tokenizer.json": tokenizer.to_str().encode(),
        "probe.npz": dump_probe(_probe(spec, graph, tokenizer.get_vocab_size())),
    }
    output = (
        LanguageModelingOutput(start_token=0)
        if draw.kind == "language"
        else ClassificationOutput(labels=tuple(f"class-{i}" for i in range(_num_outputs(draw))))
    )
    manifest = Manifest(
        name=draw.name,
        version=1,
        description="Random weights, to measure the service with.",
        task=Task(output.task),
        causal=draw.kind != "whole",
        graph=spec,
        input=TextInput(num_tokens=tokenizer.get_vocab_size()),
        output=output,
        files={name: digest(data) for name, data in files.items()},
        provenance=Provenance(recipe="tests.load", commit="", created="", data="none"),
    )
    save_artifact(folder / draw.name / "1", manifest, files)


def _num_outputs(draw: Draw) -> int:
    return len(CHARACTERS) if draw.kind in ("language", "labelling") else _NUM_CLASSES


def _characters() -> Tokenizer:
    tokenizer = Tokenizer(WordLevel({c: i for i, c in enumerate(CHARACTERS)}))
    tokenizer.pre_tokenizer = Split(Regex(r"[\s\S]"), behavior="isolated")
    tokenizer.decoder = Fuse()
    return tokenizer


def _words() -> Tokenizer:
    tokenizer = Tokenizer(WordLevel({f"w{i}": i for i in range(_NUM_WORDS)}, unk_token="w0"))
    tokenizer.pre_tokenizer = WhitespaceSplit()
    return tokenizer


def _graph(draw: Draw, num_tokens: int) -> tuple[GraphSpec, onnx.ModelProto]:
    causal = draw.kind != "whole"
    outputs = _num_outputs(draw)
    states = tuple(
        StateSpec(
            input=f"{letter}_in",
            output=f"{letter}_out",
            shape=(LAYERS, "batch", HIDDEN),
            batch_axis=1,
        )
        for letter in "hc"
    )
    spec = GraphSpec(
        file="model.onnx",
        inputs=(TensorSpec(name="tokens", dtype="int64", shape=("batch", "time")),),
        lengths="lengths",
        outputs=(
            TensorSpec(
                name="logits",
                dtype="float32",
                shape=("batch", "time", outputs) if causal else ("batch", outputs),
            ),
        ),
        state=states if causal else (),
    )
    rng = np.random.default_rng(draw.seed)
    draft = Draft()
    embedding = draft.constant("embedding", _normal(rng, num_tokens, EMBEDDING))
    tokens = draft.transpose("tokens", "tokens_by_time", (1, 0))  # [time, batch]
    steps = draft.add("Gather", [embedding, tokens], "embedded")
    steps, last = _add_layers(draft, rng, steps, causal=causal)
    features = steps if causal else draft.add("Squeeze", [last, draft.integers(0)], "features")
    weights = draft.constant("head_weights", _normal(rng, HIDDEN, outputs))
    bias = draft.constant("head_bias", _normal(rng, outputs))
    product = draft.add("MatMul", [features, weights], "head_product")
    if causal:
        scores = draft.add("Add", [product, bias], "scores")  # [time, batch, outputs]
        draft.transpose(scores, "logits", (1, 0, 2))
    else:
        draft.add("Add", [product, bias], "logits")
    return spec, draft.finish(spec)


def _add_layers(
    draft: Draft, rng: np.random.Generator, steps: str, *, causal: bool
) -> tuple[str, str]:
    """Names of the last layer's outputs `[time, batch, hidden]` and end `[1, batch, hidden]`."""
    initial: dict[str, tuple[str, ...]] = {"h": ("",) * LAYERS, "c": ("",) * LAYERS}
    if causal:
        for letter in "hc":
            names = [f"{letter}_in_{layer}" for layer in range(LAYERS)]
            initial[letter] = draft.add_many("Split", [f"{letter}_in"], names, {"axis": 0})
    features = EMBEDDING
    for layer in range(LAYERS):
        inputs = [
            steps,
            draft.constant(f"w{layer}", _uniform(rng, 1, 4 * HIDDEN, features)),
            draft.constant(f"r{layer}", _uniform(rng, 1, 4 * HIDDEN, HIDDEN)),
            draft.constant(f"b{layer}", _uniform(rng, 1, 8 * HIDDEN)),
            "lengths",
            initial["h"][layer],
            initial["c"][layer],
        ]
        ends = [f"h_out_{layer}", f"c_out_{layer}"]
        draft.add_many("LSTM", inputs, [f"y{layer}", *ends], {"hidden_size": HIDDEN})
        steps = draft.add("Squeeze", [f"y{layer}", draft.integers(1)], f"steps{layer}")
        features = HIDDEN
    if causal:
        for letter in "hc":
            names = [f"{letter}_out_{layer}" for layer in range(LAYERS)]
            draft.add("Concat", names, f"{letter}_out", {"axis": 0})
    return steps, f"h_out_{LAYERS - 1}"


def _probe(spec: GraphSpec, graph: onnx.ModelProto, num_tokens: int) -> ProbeData:
    lengths = np.array(_PROBE_LENGTHS, np.int32)
    valid = np.arange(max(_PROBE_LENGTHS)) < lengths[:, None]
    tokens = np.random.default_rng(0).integers(0, num_tokens, valid.shape) * valid
    session = ort.InferenceSession(graph.SerializeToString(), providers=["CPUExecutionProvider"])
    feeds: dict[str, NDArray[Any]] = {"tokens": tokens, "lengths": lengths}
    for state in spec.state:
        feeds[state.input] = np.zeros((LAYERS, len(lengths), HIDDEN), np.float32)
    names = ["logits", *(state.output for state in spec.state)]
    logits, *state = cast("list[NDArray[np.float32]]", session.run(names, feeds))
    return ProbeData(tokens, lengths, {"logits": logits}, tuple(state))


def _normal(rng: np.random.Generator, *shape: int) -> NDArray[np.float32]:
    return rng.standard_normal(shape).astype(np.float32)


def _uniform(rng: np.random.Generator, *shape: int) -> NDArray[np.float32]:
    bound = HIDDEN**-0.5
    return rng.uniform(-bound, bound, shape).astype(np.float32)

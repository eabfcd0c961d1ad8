"""Small real encoder-decoders, built without torch: they turn letters into other letters.

Two GRUs with random weights; texts end by themselves or are cut. `babel` looks back, by dot
products; `blind` knows of the source what its first state says.
"""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
from onnx import numpy_helper, parser
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

from service.artifact.artifact import ProbeData, SourceProbe, digest, dump_probe, save_artifact
from service.artifact.graphs import EncoderSpec, GraphSpec, MemorySpec, StateSpec, TensorSpec
from service.artifact.manifest import Manifest, Provenance
from service.artifact.tasks import SearchDefaults, Seq2SeqOutput, Task, TextInput

LETTERS = ("[END]", "[START]", *"abcdefghij")
_VOCAB, _HIDDEN = len(LETTERS), 8
_PROVENANCE = Provenance(recipe="test", commit="none", created="2026-01-01T00:00:00Z", data="none")

_ENCODER = f"""
<ir_version: 8, opset_import: ["" : 17]>
encoder (int64[batch, time] tokens, int32[batch] lengths)
    => (float[batch, time, {_HIDDEN}] memory, float[1, batch, {_HIDDEN}] begin) {{
  turned = Transpose <perm=[1, 0]> (tokens)
  x = Gather (embedding, turned)
  y, begin = GRU <hidden_size={_HIDDEN}> (x, W, R, B, lengths)
  flat = Squeeze (y, one_1d)
  memory = Transpose <perm=[1, 0, 2]> (flat)
}}
"""
_DECODER = f"""
<ir_version: 8, opset_import: ["" : 17]>
decoder (int64[batch, time] tokens, int32[batch] lengths, float[1, batch, {_HIDDEN}] h_in,
         float[batch, source_time, {_HIDDEN}] memory, int32[batch] memory_lengths)
    => (float[batch, time, {_VOCAB}] logits, float[batch, time, source_time] attention,
        float[1, batch, {_HIDDEN}] h_out) {{
  turned = Transpose <perm=[1, 0]> (tokens)
  x = Gather (embedding, turned)
  y, h_out = GRU <hidden_size={_HIDDEN}> (x, W, R, B, lengths, h_in)
  flat = Squeeze (y, one_1d)
  steps = Transpose <perm=[1, 0, 2]> (flat)
  keys = Transpose <perm=[0, 2, 1]> (memory)
  scores = MatMul (steps, keys)
  size_1d = Shape <start=1, end=2> (memory)
  size = Squeeze (size_1d)
  places = Range (zero, size, one)
  ends = Cast <to=7> (memory_lengths)
  ends_2d = Unsqueeze (ends, one_1d)
  valid = Less (places, ends_2d)
  valid_3d = Unsqueeze (valid, one_1d)
  kept = Where (valid_3d, scores, nothing)
  attention = Softmax <axis=-1> (kept)
  context = MatMul (attention, memory)
  told = Concat <axis=2> (steps, context)
  product = MatMul (told, head)
  logits = Add (product, bias)
}}
"""


_BLIND_DECODER = f"""
<ir_version: 8, opset_import: ["" : 17]>
decoder (int64[batch, time] tokens, int32[batch] lengths, float[1, batch, {_HIDDEN}] h_in,
         float[batch, source_time, {_HIDDEN}] memory, int32[batch] memory_lengths)
    => (float[batch, time, {_VOCAB}] logits, float[1, batch, {_HIDDEN}] h_out) {{
  turned = Transpose <perm=[1, 0]> (tokens)
  x = Gather (embedding, turned)
  y, h_out = GRU <hidden_size={_HIDDEN}> (x, W, R, B, lengths, h_in)
  flat = Squeeze (y, one_1d)
  steps = Transpose <perm=[1, 0, 2]> (flat)
  told = Concat <axis=2> (steps, steps)
  product = MatMul (told, head)
  logits = Add (product, bias)
}}
"""


def save_blind(models_dir: Path) -> Path:
    return _save(models_dir, "blind", decoder=_BLIND_DECODER)


def save_babel(models_dir: Path, *, version: int = 1, seed: int = 10) -> Path:
    """Letters `a` to `j`, both ways; another `seed` writes other texts."""
    return _save(models_dir, "babel", decoder=_DECODER, version=version, seed=seed)


def _save(models_dir: Path, name: str, *, decoder: str, version: int = 1, seed: int = 10) -> Path:
    looks_back = "attention" in decoder
    read, write = _model(_ENCODER, seed), _model(decoder, seed + 1)
    reads = EncoderSpec(
        input=TensorSpec(name="tokens", dtype="int64", shape=("batch", "time")),
        lengths="lengths",
        memory=TensorSpec(name="memory", dtype="float32", shape=("batch", "time", _HIDDEN)),
        state=("begin",),
    )
    outputs = (
        TensorSpec(name="logits", dtype="float32", shape=("batch", "time", _VOCAB)),
        TensorSpec(name="attention", dtype="float32", shape=("batch", "time", "source_time")),
    )
    writes = GraphSpec(
        file="decoder.onnx",
        inputs=(TensorSpec(name="tokens", dtype="int64", shape=("batch", "time")),),
        lengths="lengths",
        outputs=outputs if looks_back else outputs[:1],
        state=(StateSpec(input="h_in", output="h_out", shape=(1, "batch", _HIDDEN), batch_axis=1),),
        memory=MemorySpec(features=_HIDDEN),
    )
    files = {
        "encoder.onnx": read,
        "decoder.onnx": write,
        "tokenizer.json": letter_tokenizer(),
        "target.json": letter_tokenizer(),
        "probe.npz": dump_probe(_probe(read, write, writes)),
    }
    manifest = Manifest(
        name=name,
        version=version,
        description="made for a test",
        task=Task.SEQ2SEQ,
        causal=False,
        graph=writes,
        encoder=reads,
        input=TextInput(num_tokens=_VOCAB),
        output=Seq2SeqOutput(
            attention="attention" if looks_back else None,
            num_tokens=_VOCAB,
            start_token=1,
            end_token=0,
            source_end_token=0,
            search=SearchDefaults(beam_width=3, length_penalty=0.6, max_tokens=12),
        ),
        files={name: digest(data) for name, data in files.items()},
        provenance=_PROVENANCE,
    )
    folder = models_dir / manifest.name / str(version)
    save_artifact(folder, manifest, files)
    return folder


def letter_tokenizer() -> bytes:
    """One token a letter."""
    places = {letter: place for place, letter in enumerate(LETTERS)}
    tokenizer = Tokenizer(models.WordLevel(places, unk_token="none"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    tokenizer.decoder = decoders.Fuse()
    return tokenizer.to_str().encode()


def _model(text: str, seed: int) -> bytes:
    rng = np.random.default_rng(seed)

    def weights(*shape: int, size: float) -> np.ndarray:
        return rng.normal(0, size, shape).astype(np.float32)

    bias = np.zeros(_VOCAB, np.float32)
    bias[:2] = 1, -100  # texts end now and then, and nothing starts twice
    constants: dict[str, Any] = {
        "embedding": weights(_VOCAB, 6, size=1.5),
        "W": weights(1, 3 * _HIDDEN, 6, size=0.8),
        "R": weights(1, 3 * _HIDDEN, _HIDDEN, size=1.2),
        "B": weights(1, 6 * _HIDDEN, size=0.1),
        "head": weights(2 * _HIDDEN, _VOCAB, size=2.0),
        "bias": bias,
        "one_1d": np.array([1]),
        "zero": np.int64(0),
        "one": np.int64(1),
        "nothing": np.float32(-np.inf),
    }
    model = parser.parse_model(text)
    used = {name for node in model.graph.node for name in node.input}
    for name, value in constants.items():
        if name in used:
            model.graph.initializer.append(numpy_helper.from_array(np.asarray(value), name))
    onnx.checker.check_model(model, full_check=True)
    return model.SerializeToString()


def _probe(encoder: bytes, decoder: bytes, writes: GraphSpec) -> ProbeData:
    source = SourceProbe(np.array([[2, 3, 4, 0], [5, 0, 0, 0]]), np.array([4, 2], np.int32))
    inputs, lengths = np.array([[1, 2, 3], [1, 4, 0]]), np.array([3, 2], np.int32)
    read, write = (
        ort.InferenceSession(graph, providers=["CPUExecutionProvider"])
        for graph in (encoder, decoder)
    )
    memory, begin = read.run(None, {"tokens": source.inputs, "lengths": source.lengths})
    feeds = {"tokens": inputs, "lengths": lengths, "h_in": begin}
    feeds |= {"memory": memory, "memory_lengths": source.lengths}
    names = [spec.name for spec in writes.outputs]
    *given, end = write.run([*names, "h_out"], feeds)
    return ProbeData(inputs, lengths, dict(zip(names, given, strict=True)), (end,), source)

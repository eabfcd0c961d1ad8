"""A model is a folder: read it whole and checked, or not at all; write it whole, or not at all."""

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Container, Iterable, Iterator, Mapping
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any, cast

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx.external_data_helper import uses_external_data
from pydantic import ValidationError

from service.artifact.graphs import EncoderSpec, GraphSpec, TensorSpec
from service.artifact.manifest import FORMAT_VERSION, MANIFEST_FILE, Manifest
from service.artifact.tasks import Seq2SeqOutput, TextInput
from service.artifact.text import Text
from service.errors import ArtifactError

_MAX_MANIFEST_BYTES = 4 * 1024 * 1024
_ONNX_DTYPES = {"float32": 1, "int32": 6, "int64": 7}
"""`onnx.TensorProto.DataType` of the dtypes that a manifest can name."""


@dataclass(frozen=True, slots=True)
class SourceProbe:
    """What the encoder reads before the decoder reads the probe's inputs."""

    inputs: NDArray[np.int64]
    """`[batch, source_time]` token ids; padding is zero."""
    lengths: NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class ProbeData:
    """One ragged batch from the zero state, or from the encoder's, and what the exporting machine
    saw."""

    inputs: NDArray[Any]
    """`[batch, time]` token ids or `[batch, time, features]` numbers; padding is zero."""
    lengths: NDArray[np.int32]
    outputs: dict[str, NDArray[np.float32]]
    state: tuple[NDArray[np.float32], ...]
    """Final states, in the order of `graph.state`."""
    source: SourceProbe | None = None
    """Of an encoder-decoder."""


@dataclass(frozen=True, slots=True)
class Artifact:
    """A loaded artifact whose files are what its manifest says."""

    folder: Path
    manifest: Manifest
    text: Text | None
    probe: ProbeData
    digest: str
    """sha256 over the manifest as it was read: it covers the checksums of all other files."""
    int8_probe: ProbeData | None = None
    """Of `manifest.int8`, where there is one."""
    target_text: Text | None = None
    """Of an encoder-decoder; `text` is its source's."""

    @property
    def model_path(self) -> Path:
        return self.folder / self.manifest.graph.file

    @property
    def encoder_path(self) -> Path:
        """Of an encoder-decoder."""
        assert self.manifest.encoder is not None
        return self.folder / self.manifest.encoder.file


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def load_artifact(folder: Path) -> Artifact:
    """Read and check `folder`. Raises ArtifactError that names the file and the field."""
    manifest = read_manifest(folder)
    manifest_digest = digest(_read(folder, MANIFEST_FILE))
    for name, expected in manifest.files.items():
        if digest(_read(folder, name)) != expected:
            raise ArtifactError(
                "the sha256 in the manifest differs from the file's: changed or cut off",
                file=name,
                field=f"files.{name}",
            )
    for spec in _graphs(manifest):
        for name in spec.files:
            _check_graph(folder, spec, file=name, listed=manifest.files)
    if manifest.encoder is not None:
        _check_encoder(folder, manifest.encoder, manifest.graph, listed=manifest.files)
    text = target_text = None
    if isinstance(manifest.input, TextInput):
        text = _read_text(folder, manifest.input, field="input.num_tokens")
    if isinstance(manifest.output, Seq2SeqOutput):
        target_text = _read_text(folder, manifest.output, field="output.num_tokens")
    probe, int8 = _read_probe(folder, manifest.probe.file, manifest.graph), manifest.int8
    int8_probe = None if int8 is None else _read_probe(folder, int8.probe.file, int8.graph)
    return Artifact(folder, manifest, text, probe, manifest_digest, int8_probe, target_text)


def read_manifest(folder: Path) -> Manifest:
    """The manifest alone, validated; the other files are not looked at."""
    raw = _read(folder, MANIFEST_FILE)
    if len(raw) > _MAX_MANIFEST_BYTES:
        raise ArtifactError(f"larger than {_MAX_MANIFEST_BYTES} bytes", file=MANIFEST_FILE)
    try:
        fields = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise ArtifactError(f"not JSON: {error}", file=MANIFEST_FILE) from error
    version = (
        cast("dict[str, object]", fields).get("format_version")
        if isinstance(fields, dict)
        else None
    )
    if isinstance(version, int) and version > FORMAT_VERSION:
        raise ArtifactError(
            f"format {version} is newer than this service reads ({FORMAT_VERSION}): upgrade it",
            file=MANIFEST_FILE,
            field="format_version",
        )
    try:
        return Manifest.model_validate_json(raw)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"]) or None
        raise ArtifactError(first["msg"], file=MANIFEST_FILE, field=field) from error


def save_artifact(folder: Path, manifest: Manifest, files: Mapping[str, bytes]) -> None:
    """Write the artifact to `folder`, which must not exist yet, in one rename.

    `files` holds what the manifest lists (checked) and what only people read (the card).
    """
    for name, expected in manifest.files.items():
        if name not in files or digest(files[name]) != expected:
            raise ArtifactError("the manifest's checksum is not of this file", file=name)
    for name in files:
        if Path(name).name != name or name in ("..", MANIFEST_FILE):
            raise ArtifactError("not a plain name of a file beside the manifest", file=name)
    folder.parent.mkdir(parents=True, exist_ok=True)
    if folder.exists():
        raise ArtifactError("the version exists already; versions never change", file=str(folder))
    draft = Path(tempfile.mkdtemp(prefix=".draft-", dir=folder.parent))
    try:
        for name, data in files.items():
            (draft / name).write_bytes(data)
        (draft / MANIFEST_FILE).write_text(manifest.model_dump_json(indent=2) + "\n")
        draft.chmod(0o755)
        os.replace(draft, folder)  # noqa: PTH105 - the name says that it is atomic
    except BaseException:
        shutil.rmtree(draft, ignore_errors=True)
        raise


def dump_probe(probe: ProbeData) -> bytes:
    """The bytes of `probe.npz`."""
    arrays: dict[str, NDArray[Any]] = {"input": probe.inputs, "lengths": probe.lengths}
    if probe.source is not None:
        arrays |= {"source": probe.source.inputs, "source_lengths": probe.source.lengths}
    arrays |= {f"output/{name}": value for name, value in probe.outputs.items()}
    arrays |= {f"state/{index}": value for index, value in enumerate(probe.state)}
    buffer = BytesIO()
    np.savez_compressed(buffer, allow_pickle=False, **arrays)
    return buffer.getvalue()


def _read(folder: Path, name: str) -> bytes:
    path = folder / name
    if path.is_symlink() or path.resolve().parent != folder.resolve():
        raise ArtifactError("leaves the artifact's folder", file=name)
    try:
        return path.read_bytes()
    except OSError as error:
        raise ArtifactError(f"cannot be read: {error.strerror}", file=name) from error


def _graphs(manifest: Manifest) -> tuple[GraphSpec, ...]:
    return (manifest.graph,) if manifest.int8 is None else (manifest.graph, manifest.int8.graph)


def _read_probe(folder: Path, name: str, graph: GraphSpec) -> ProbeData:
    try:
        with np.load(folder / name, allow_pickle=False) as arrays:
            probe = ProbeData(
                inputs=arrays["input"],
                lengths=arrays["lengths"].astype(np.int32),
                outputs={spec.name: arrays[f"output/{spec.name}"] for spec in graph.outputs},
                state=tuple(arrays[f"state/{index}"] for index in range(len(graph.state))),
                source=None if graph.memory is None else _read_source(arrays),
            )
    except Exception as error:
        raise ArtifactError(f"not a probe of this graph: {error}", file=name) from error
    _check_probe(probe, graph, name)
    return probe


def _read_source(arrays: Mapping[str, NDArray[Any]]) -> SourceProbe:
    return SourceProbe(arrays["source"], arrays["source_lengths"].astype(np.int32))


def _check_probe(probe: ProbeData, graph: GraphSpec, file: str) -> None:
    """Every array is of the shape that the manifest gives it."""
    lengths = probe.lengths
    if lengths.ndim != 1 or len(lengths) == 0 or lengths.min() < 1:
        raise ArtifactError("the probe needs rows, each of at least one step", file=file)
    time = probe.inputs.shape[1] if probe.inputs.ndim > 1 else 0
    sizes = {"batch": len(lengths), "time": time}
    arrays = [("input", probe.inputs, graph.input.shape)]
    if (source := probe.source) is not None:
        sizes["source_time"] = source.inputs.shape[1] if source.inputs.ndim > 1 else 0
        arrays.append(("source", source.inputs, ("batch", "source_time")))
        arrays.append(("source_lengths", source.lengths, ("batch",)))
    arrays += [(f"output/{s.name}", probe.outputs[s.name], s.shape) for s in graph.outputs]
    arrays += [(f"state/{i}", probe.state[i], s.shape) for i, s in enumerate(graph.state)]
    for field, array, shape in arrays:
        expected = tuple(sizes[d] if isinstance(d, str) else d for d in shape)
        if array.shape != expected or array.dtype.kind not in "iuf":
            raise ArtifactError(
                f"is {array.dtype} {array.shape}, the manifest asks for numbers {expected}",
                file=file,
                field=field,
            )
    if lengths.max() > time or not np.isfinite(probe.inputs).all():
        raise ArtifactError("a length beyond the input, or a number not finite", file=file)
    if (
        source is not None
        and not 1 <= source.lengths.min() <= source.lengths.max() <= (sizes["source_time"])
    ):
        raise ArtifactError("a length outside the source", file=file, field="source_lengths")


def _read_text(folder: Path, spec: TextInput | Seq2SeqOutput, *, field: str) -> Text:
    text = Text(folder / spec.tokenizer)
    if text.num_tokens != spec.num_tokens:
        raise ArtifactError(
            f"holds {text.num_tokens} tokens, the manifest says {spec.num_tokens}",
            file=spec.tokenizer,
            field=field,
        )
    return text


def _check_graph(folder: Path, spec: GraphSpec, *, file: str, listed: Container[str]) -> None:
    """The graph's names, dtypes and ranks are the manifest's, and no data lies outside."""
    model = _read_graph(folder, file, listed)
    expected_in = {s.name: (s.dtype, len(s.shape)) for s in spec.inputs}
    if file != spec.step_file:
        expected_in[spec.lengths] = ("int32", 1)
    expected_in |= {s.input: (s.dtype, len(s.shape)) for s in spec.state}
    if spec.memory is not None:
        expected_in |= {spec.memory.name: ("float32", 3), spec.memory.lengths: ("int32", 1)}
    expected_out = {s.name: (s.dtype, len(s.shape)) for s in spec.outputs}
    expected_out |= {s.output: (s.dtype, len(s.shape)) for s in spec.state}
    _check_signature(model.graph, expected_in, expected_out, file=file)
    if file == spec.step_file:
        _check_one_step(model.graph, spec)


def _check_encoder(
    folder: Path, spec: EncoderSpec, decoder: GraphSpec, *, listed: Container[str]
) -> None:
    """It takes tokens and lengths, and gives what the decoder begins with."""
    model = _read_graph(folder, spec.file, listed)
    expected_in = {spec.input.name: (spec.input.dtype, 2), spec.lengths: ("int32", 1)}
    expected_out: dict[str, tuple[str, int]] = {spec.memory.name: (spec.memory.dtype, 3)}
    for name, pair in zip(spec.state, decoder.state, strict=True):
        expected_out[name] = (pair.dtype, len(pair.shape))
    _check_signature(model.graph, expected_in, expected_out, file=spec.file)


def _read_graph(folder: Path, file: str, listed: Container[str]) -> onnx.ModelProto:
    try:
        model = onnx.load(folder / file, load_external_data=False)
    except Exception as error:
        raise ArtifactError(f"not an ONNX model: {error}", file=file) from error
    for tensor in _tensors(model):
        if uses_external_data(tensor):
            location = {entry.key: entry.value for entry in tensor.external_data}.get(
                "location", ""
            )
            if location not in listed:
                raise ArtifactError(
                    f"external data in {location!r}, which is not a file of the artifact",
                    file=file,
                    field=tensor.name,
                )
    return model


def _check_signature(
    graph: onnx.GraphProto,
    expected_in: Mapping[str, tuple[str, int]],
    expected_out: Mapping[str, tuple[str, int]],
    *,
    file: str,
) -> None:
    """Every input and output by name, with its dtype and its rank."""
    for what, values, expected in (
        ("input", graph.input, expected_in),
        ("output", graph.output, expected_out),
    ):
        seen = {value.name: value.type.tensor_type for value in values}
        if seen.keys() != expected.keys():
            raise ArtifactError(
                f"{what}s are {sorted(seen)}, the manifest says {sorted(expected)}",
                file=file,
                field=f"graph.{what}s",
            )
        for name, (dtype, rank) in expected.items():
            if seen[name].elem_type != _ONNX_DTYPES[dtype] or len(seen[name].shape.dim) != rank:
                raise ArtifactError(
                    f"{what} {name} is not {dtype} of rank {rank}", file=file, field=name
                )


def _check_one_step(graph: onnx.GraphProto, spec: GraphSpec) -> None:
    """The time axis of every tensor that has one is declared to be 1."""
    declared: dict[str, TensorSpec] = {s.name: s for s in (*spec.inputs, *spec.outputs)}
    for value in (*graph.input, *graph.output):
        if value.name not in declared or not declared[value.name].per_step:
            continue
        time = value.type.tensor_type.shape.dim[declared[value.name].shape.index("time")]
        if time.dim_value != 1:
            raise ArtifactError(
                f"{value.name} has {time.dim_param or time.dim_value} steps, not 1",
                file=spec.step_file or spec.file,
                field=value.name,
            )


def _tensors(model: onnx.ModelProto) -> Iterator[onnx.TensorProto]:
    """Every constant of the graph, of its functions, and of the graphs inside their nodes."""
    yield from _tensors_of_graph(model.graph)
    for function in model.functions:
        yield from _tensors_of_nodes(function.node)


def _tensors_of_graph(graph: onnx.GraphProto) -> Iterator[onnx.TensorProto]:
    yield from graph.initializer
    for sparse in graph.sparse_initializer:
        yield sparse.values
        yield sparse.indices
    yield from _tensors_of_nodes(graph.node)


def _tensors_of_nodes(nodes: Iterable[onnx.NodeProto]) -> Iterator[onnx.TensorProto]:
    for node in nodes:
        for attribute in node.attribute:
            if attribute.HasField("t"):
                yield attribute.t
            if attribute.HasField("sparse_tensor"):
                yield attribute.sparse_tensor.values
                yield attribute.sparse_tensor.indices
            yield from attribute.tensors
            if attribute.HasField("g"):
                yield from _tensors_of_graph(attribute.g)
            for inner in attribute.graphs:
                yield from _tensors_of_graph(inner)

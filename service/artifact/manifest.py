"""The manifest: whatever the service knows about a model is in this one value."""

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field, model_validator

from service.artifact.graphs import (
    Dimension,
    EncoderSpec,
    FileName,
    GraphSpec,
    Part,
    TensorSpec,
)
from service.artifact.tasks import (
    AnomalyOutput,
    AnyInput,
    AnyOutput,
    AudioInput,
    ClassificationOutput,
    CtcOutput,
    ForecastingOutput,
    Input,
    LanguageModelingOutput,
    NumericInput,
    Output,
    RegressionOutput,
    Seq2SeqOutput,
    TaggingOutput,
    Task,
    TextInput,
)

FORMAT_VERSION = 1
MANIFEST_FILE = "manifest.json"

Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$")]
"""A model's name: it is a folder, a part of URLs, and a metric label."""

Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
"""sha256 in lower-case hexadecimal."""


class Limits(Part):
    max_steps: Annotated[int, Field(ge=1)] = 100_000
    """Longest sequence that the model takes; the service's own limit may be lower."""


class Probe(Part):
    """Inputs and the outputs seen at export, replayed at load."""

    file: FileName = "probe.npz"
    tolerance: Annotated[float, Field(gt=0)] = 1e-4
    """Largest `|seen - expected| / max(1, |expected|)`: processors round differently."""


class Int8(Part):
    """The network with integer weights, for processors that multiply them fast.

    Its tensors are those of the other graph, so that a session's state is the same on both.
    """

    graph: GraphSpec
    probe: Probe

    @property
    def files(self) -> tuple[str, ...]:
        return (*self.graph.files, self.probe.file)


class Metric(Part):
    """A measured figure beside what it must be compared with."""

    name: str
    value: float
    split: str
    baseline: float | None = None
    baseline_name: str = ""
    reference: str = ""
    lower_is_better: bool = False


class Provenance(Part):
    """Where the artifact comes from, enough to make it again."""

    recipe: str
    commit: str
    created: str
    data: str
    metrics: tuple[Metric, ...] = ()
    verification: dict[str, float] = Field(default_factory=dict[str, float])
    """Largest differences that `verify` saw, by claim; 0.0 is bit for bit."""
    versions: dict[str, str] = Field(default_factory=dict[str, str])


class Manifest(Part):
    """A model, as the service sees it."""

    format_version: Literal[1] = FORMAT_VERSION
    name: Name
    version: Annotated[int, Field(ge=1)]
    description: str
    licence: str = ""
    task: Task
    causal: bool
    """Whether a step sees only the past: the model can be cut in time and have sessions."""
    graph: GraphSpec
    """The network; of an encoder-decoder, the decoder."""
    encoder: EncoderSpec | None = None
    input: Input
    output: Output
    limits: Limits = Limits()
    probe: Probe = Probe()
    int8: Int8 | None = None
    files: dict[FileName, Digest]
    """sha256 of every file of the artifact but the manifest."""
    provenance: Provenance

    @model_validator(mode="after")
    def _parts_agree(self) -> "Manifest":
        if self.output.task != self.task:
            raise ValueError(f"output.task is {self.output.task}, task is {self.task}")
        self._decoder_agrees_with_encoder()
        if self.causal and not self.graph.state:
            raise ValueError("graph.state: a causal model needs at least one state pair")
        if not self.causal and self.graph.state and self.encoder is None:
            raise ValueError("graph.state: a model that is not causal has no state to carry")
        self._int8_agrees_with_graph()
        needed = {*self.graph.files, self.probe.file, *(self.int8.files if self.int8 else ())}
        if isinstance(self.input, TextInput):
            needed.add(self.input.tokenizer)
        if self.encoder is not None:
            needed.add(self.encoder.file)
        if isinstance(self.output, Seq2SeqOutput):
            needed.add(self.output.tokenizer)
        if missing := sorted(needed - self.files.keys()):
            raise ValueError(f"files: no checksum of {', '.join(missing)}")
        if MANIFEST_FILE in self.files:
            raise ValueError("files: the manifest cannot hold its own checksum")
        self._output_agrees_with_graph()
        return self

    def _int8_agrees_with_graph(self) -> None:
        if self.int8 is None:
            return
        for part in ("inputs", "lengths", "outputs", "state"):
            if getattr(self.int8.graph, part) != getattr(self.graph, part):
                raise ValueError(f"int8.graph.{part}: differs from graph.{part}")
        own = {*self.graph.files, self.probe.file}
        if shared := sorted(own.intersection(self.int8.files)):
            raise ValueError(f"int8: {', '.join(shared)} is a file of the other graph")

    def _decoder_agrees_with_encoder(self) -> None:
        """Each of encoder, memory and the task of pairs asks for the other two."""
        encoder, memory = self.encoder, self.graph.memory
        present = {encoder is not None, memory is not None, self.task == Task.SEQ2SEQ}
        if len(present) > 1:
            raise ValueError("encoder, graph.memory and the task seq2seq need each other")
        if encoder is None or memory is None:
            return
        if self.causal or not isinstance(self.input, TextInput):
            raise ValueError("encoder: it reads a whole text, so the model is not causal")
        if encoder.memory.shape[2] != memory.features:
            raise ValueError(
                f"encoder.memory: {encoder.memory.shape[2]} features, "
                f"the decoder takes {memory.features}"
            )
        if len(encoder.state) != len(self.graph.state):
            raise ValueError("encoder.state: is not as many tensors as graph.state")

    def _output_agrees_with_graph(self) -> None:
        outputs = {spec.name: spec for spec in self.graph.outputs}
        name, shape = _needed_output(self.output, causal=self.causal, input=self.input)
        if name not in outputs:
            raise ValueError(f"output: the graph has no output {name!r}")
        if outputs[name].shape != shape:
            raise ValueError(
                f"output: {name} has shape {outputs[name].shape}, the task needs {shape}"
            )
        self._attention_agrees_with_graph(outputs)
        expected: tuple[Dimension, ...] = ("batch", "time")
        if isinstance(self.input, NumericInput):
            expected = (*expected, len(self.input.features))
        if isinstance(self.input, AudioInput):
            expected = (*expected, self.input.hop)
        if self.graph.input.shape != expected:
            raise ValueError(
                f"graph.inputs: {self.graph.input.name} has shape {self.graph.input.shape}, "
                f"the input needs {expected}"
            )

    def _attention_agrees_with_graph(self, outputs: Mapping[str, TensorSpec]) -> None:
        output = self.output
        if (
            not isinstance(output, ClassificationOutput | Seq2SeqOutput | TaggingOutput)
            or output.attention is None
        ):
            return
        if output.attention not in outputs:
            raise ValueError(f"output.attention: the graph has no output {output.attention!r}")
        shape = outputs[output.attention].shape
        looks_back = isinstance(output, Seq2SeqOutput)
        last = shape[-1] == "source_time" if looks_back else isinstance(shape[-1], int)
        if len(shape) != 3 or shape[:2] != ("batch", "time") or not last:
            wanted = "source_time" if looks_back else "heads"
            raise ValueError(
                f"output.attention: {output.attention} has shape {shape}, not batch, time, {wanted}"
            )
        if not looks_back and self.causal:
            raise ValueError("output.attention: weights of all steps are not known to a causal one")


def _needed_output(
    output: AnyOutput,
    *,
    causal: bool,
    input: AnyInput,  # noqa: A002 - the manifest's own word
) -> tuple[str, tuple[Dimension, ...]]:
    """The output tensor that a task reads, and its shape."""
    match output:
        case ClassificationOutput():
            classes = len(output.labels)
            return output.logits, ("batch", "time", classes) if causal else ("batch", classes)
        case CtcOutput():
            return output.logits, ("batch", "time", 1 + len(output.labels))
        case ForecastingOutput():
            bands = (len(output.quantiles),) if output.quantiles else ()
            forecast = (*bands, output.horizon, len(output.targets))
            return output.forecast, ("batch", "time", *forecast)
        case AnomalyOutput():
            return output.score, ("batch", "time", 1)
        case RegressionOutput():
            return output.value, ("batch", "time", 1)
        case LanguageModelingOutput():
            if not causal or not isinstance(input, TextInput):
                raise ValueError("a language model is causal and reads text")
            for field, token in (
                ("start_token", output.start_token),
                ("end_token", output.end_token or 0),
            ):
                if token >= input.num_tokens:
                    raise ValueError(f"output.{field}: {token} is not a token of the input")
            return output.logits, ("batch", "time", input.num_tokens)
        case Seq2SeqOutput():
            for field, token in (
                ("start_token", output.start_token),
                ("end_token", output.end_token),
            ):
                if token >= output.num_tokens:
                    raise ValueError(f"output.{field}: {token} is not a token of the target")
            return output.logits, ("batch", "time", output.num_tokens)
        case TaggingOutput():
            if not isinstance(input, TextInput):
                # A validator says what is wrong with a manifest by ValueError.
                raise ValueError("a tagger reads text")  # noqa: TRY004
            return output.scores, ("batch", "time", len(output.tags) + len(output.intents))

"""An artifact's networks, as the manifest tells of them: what each takes, gives and carries.

Conventions: data tensors are batch first, `[batch, time, ...]`; state tensors are
`[layers, batch, hidden]`. A tensor's shape is written with symbols for what varies (`"batch"`,
`"time"`) and numbers for what does not.
"""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

FileName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$")]
"""A plain file name: no separators, so that no path can leave the artifact's folder."""

Dimension = Literal["batch", "time", "source_time"] | Annotated[int, Field(ge=1)]
DType = Literal["float32", "int64", "int32"]


class Part(BaseModel):
    """Of a manifest: unknown fields are refused, and nothing changes."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class TensorSpec(Part):
    """One input or output of a graph, e.g. `logits float32 [batch, time, 65]`."""

    name: str
    dtype: DType
    shape: tuple[Dimension, ...]

    @property
    def per_step(self) -> bool:
        """Whether the tensor has a time axis: one value for every step."""
        return "time" in self.shape


class StateSpec(Part):
    """One tensor of the recurrent state: the output that becomes the next call's input."""

    input: str
    output: str
    dtype: Literal["float32"] = "float32"
    shape: tuple[Dimension, ...]
    batch_axis: Annotated[int, Field(ge=0)]

    @model_validator(mode="after")
    def _batch_axis_is_the_only_symbol(self) -> "StateSpec":
        symbols = [axis for axis, dimension in enumerate(self.shape) if isinstance(dimension, str)]
        if symbols != [self.batch_axis] or self.shape[self.batch_axis] != "batch":
            raise ValueError(
                f"state {self.input}: axis {self.batch_axis}, and no other, must be 'batch'"
            )
        return self

    @property
    def row_shape(self) -> tuple[int, ...]:
        """The shape of one row's state: the tensor's shape without its batch axis."""
        return tuple(d for d in self.shape if isinstance(d, int))


class MemorySpec(Part):
    """What a decoder may look back at: the encoder's outputs, the same at every step of a row."""

    name: str = "memory"
    """Input `float32 [batch, source_time, features]`."""
    lengths: str = "memory_lengths"
    """Input `int32 [batch]`: valid steps of the source."""
    features: Annotated[int, Field(ge=1)]


class GraphSpec(Part):
    """A network as ONNX. `lengths` names its int32 `[batch]` input of valid steps in each row."""

    file: FileName
    """Chunks of any length."""
    step_file: FileName | None = None
    """The same network for exactly one step: time is 1 in every shape, and `lengths` is absent."""
    inputs: tuple[TensorSpec, ...] = Field(min_length=1, max_length=1)
    lengths: str
    outputs: tuple[TensorSpec, ...] = Field(min_length=1)
    state: tuple[StateSpec, ...] = ()
    memory: MemorySpec | None = None
    """Of a decoder that looks back."""

    @property
    def input(self) -> TensorSpec:
        """The tensor of data: token ids `[batch, time]` or numbers `[batch, time, features]`."""
        return self.inputs[0]

    @model_validator(mode="after")
    def _names_are_unique(self) -> "GraphSpec":
        fed = [*(s.name for s in self.inputs), self.lengths, *(s.input for s in self.state)]
        fed += [self.memory.name, self.memory.lengths] if self.memory else []
        given = [*(s.name for s in self.outputs), *(s.output for s in self.state)]
        for names in (fed, given):
            if twice := sorted({name for name in names if names.count(name) > 1}):
                raise ValueError(f"named twice: {', '.join(twice)}")
        return self

    @model_validator(mode="after")
    def _steps_go_from_state_to_state(self) -> "GraphSpec":
        if self.step_file is not None and not self.state:
            raise ValueError("step_file: a graph without state has no single steps")
        if self.step_file == self.file:
            raise ValueError("step_file: is the file of the whole graph")
        return self

    @property
    def files(self) -> tuple[str, ...]:
        return (self.file,) if self.step_file is None else (self.file, self.step_file)

    @model_validator(mode="after")
    def _data_axes_come_first(self) -> "GraphSpec":
        for spec in self.inputs:
            if spec.shape[:2] != ("batch", "time"):
                raise ValueError(f"input {spec.name}: the shape must start with batch, time")
        for spec in self.outputs:
            if spec.shape[:1] != ("batch",) or "time" in spec.shape[2:]:
                raise ValueError(f"output {spec.name}: the shape must be batch, [time,] numbers")
        return self


class EncoderSpec(Part):
    """The network that reads a whole source once and gives the decoder what it begins with."""

    file: FileName = "encoder.onnx"
    input: TensorSpec
    """Token ids of the source, `[batch, time]`."""
    lengths: str
    """Input `int32 [batch]`."""
    memory: TensorSpec
    """Output `[batch, time, features]`."""
    state: tuple[str, ...] = Field(min_length=1)
    """Outputs that are the decoder's first state, in the order and of the shapes of its own."""

    @model_validator(mode="after")
    def _tensors_are_batch_and_time(self) -> "EncoderSpec":
        if self.input.shape != ("batch", "time"):
            raise ValueError(f"input {self.input.name}: the shape must be batch, time")
        if self.memory.shape[:2] != ("batch", "time") or len(self.memory.shape) != 3:
            raise ValueError(f"memory {self.memory.name}: the shape must be batch, time, features")
        return self

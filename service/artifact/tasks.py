"""What a model reads and what it tells: a value for every kind of input, and for every task."""

from enum import StrEnum
from itertools import pairwise
from typing import Annotated, Literal

from pydantic import Field, model_validator

from service.artifact.graphs import FileName, Part
from service.artifact.scaling import Scaling

_MEDIAN = 0.5


class Task(StrEnum):
    """What a model's numbers mean."""

    ANOMALY = "anomaly"
    CLASSIFICATION = "classification"
    CTC = "ctc"
    FORECASTING = "forecasting"
    LANGUAGE_MODELING = "language_modeling"
    REGRESSION = "regression"
    SEQ2SEQ = "seq2seq"
    TAGGING = "tagging"


class TextInput(Part):
    """A sequence is text, or token ids of the tokenizer in `tokenizer`."""

    kind: Literal["text"] = "text"
    tokenizer: FileName = "tokenizer.json"
    num_tokens: Annotated[int, Field(ge=1)]


class NumericInput(Part):
    """A sequence is rows of numbers, one column a feature, in the units the user knows.

    `scaling` is recorded so that scaled metrics can be computed again; the graph applies it.
    """

    kind: Literal["numeric"] = "numeric"
    features: tuple[str, ...] = Field(min_length=1)
    units: tuple[str, ...] = ()
    scaling: Scaling | None = None


class AudioInput(Part):
    """A sequence is samples from -1 to 1; the graph reads them hop by hop, `[batch, time, hop]`.

    A step is a hop. Samples of one that is not whole yet wait in their session for the rest.
    """

    kind: Literal["audio"] = "audio"
    sample_rate: Annotated[int, Field(ge=1)]
    """Samples a second."""
    hop: Annotated[int, Field(ge=1)]
    """Samples of a step."""


AnyInput = TextInput | NumericInput | AudioInput
Input = Annotated[AnyInput, Field(discriminator="kind")]


class ClassificationOutput(Part):
    """`logits [batch, classes]`; if causal `[batch, time, classes]`, where the last step counts."""

    task: Literal[Task.CLASSIFICATION] = Task.CLASSIFICATION
    logits: str = "logits"
    labels: tuple[str, ...] = Field(min_length=2)
    attention: str | None = None
    """Output `[batch, time, heads]`: what part each step had in the answer. Those of a head sum
    to 1."""


class ForecastingOutput(Part):
    """`forecast [batch, time, horizon, targets]`: at every step, the `horizon` steps after it.

    With quantiles it is `[batch, time, quantiles, horizon, targets]`, and the forecast the median.
    """

    task: Literal[Task.FORECASTING] = Task.FORECASTING
    forecast: str = "forecast"
    horizon: Annotated[int, Field(ge=1)]
    targets: tuple[str, ...] = Field(min_length=1)
    units: tuple[str, ...] = ()
    step_seconds: float | None = None
    quantiles: tuple[Annotated[float, Field(gt=0, lt=1)], ...] = ()
    """Shares of what comes that are to lie below each; ascending, the median among them."""

    @model_validator(mode="after")
    def _quantiles_have_a_median(self) -> "ForecastingOutput":
        if self.quantiles and _MEDIAN not in self.quantiles:
            raise ValueError(f"quantiles: {_MEDIAN}, the forecast, is not among them")
        if any(one >= next_one for one, next_one in pairwise(self.quantiles)):
            raise ValueError("quantiles: are not ascending")
        return self

    @property
    def median(self) -> int:
        """The place of the forecast among the quantiles."""
        return self.quantiles.index(_MEDIAN)


class AnomalyOutput(Part):
    """`score [batch, time, 1]`: at every step, how odd it is; an anomaly above the threshold."""

    task: Literal[Task.ANOMALY] = Task.ANOMALY
    score: str = "score"
    threshold: float


class RegressionOutput(Part):
    """`value [batch, time, 1]`: the number that is asked for, as each step has it."""

    task: Literal[Task.REGRESSION] = Task.REGRESSION
    value: str = "value"
    name: str
    unit: str = ""
    every_step: bool = False
    """Whether an answer is the values of all steps (many to many), or the last one's alone."""


class SamplingDefaults(Part):
    """What generation uses where a request is silent."""

    temperature: Annotated[float, Field(ge=0)] = 1.0
    top_k: Annotated[int, Field(ge=0)] = 0
    top_p: Annotated[float, Field(gt=0, le=1)] = 1.0
    max_tokens: Annotated[int, Field(ge=1)] = 256


class LanguageModelingOutput(Part):
    """`logits [batch, time, tokens]`: at every step, the token after it."""

    task: Literal[Task.LANGUAGE_MODELING] = Task.LANGUAGE_MODELING
    logits: str = "logits"
    start_token: Annotated[int, Field(ge=0)]
    """Stands before the first token, in scoring and for an empty prompt."""
    end_token: Annotated[int, Field(ge=0)] | None = None
    sampling: SamplingDefaults = SamplingDefaults()


class TaggingOutput(Part):
    """`scores [batch, time, tags + intents]`: at every step those of its tag, then the intent's.

    The intent, where there is one, is the whole sequence's; of a causal model, what it makes of
    the sequence so far. What the last step says of it counts.
    """

    task: Literal[Task.TAGGING] = Task.TAGGING
    scores: str = "scores"
    tags: tuple[str, ...] = Field(min_length=2)
    intents: tuple[str, ...] = ()
    attention: str | None = None
    """Output `[batch, time, heads]`: what part each step had in the intent."""


class SearchDefaults(Part):
    """What decoding uses where a request is silent."""

    beam_width: Annotated[int, Field(ge=1)] = 1
    length_penalty: Annotated[float, Field(ge=0)] = 0.0
    max_tokens: Annotated[int, Field(ge=1)] = 100


class Seq2SeqOutput(Part):
    """`logits [batch, time, tokens]`: of the target's token after each, given the source."""

    task: Literal[Task.SEQ2SEQ] = Task.SEQ2SEQ
    logits: str = "logits"
    attention: str | None = None
    """Output `[batch, time, source_time]`: where each step looked; rows sum to 1."""
    tokenizer: FileName = "target.json"
    """The target's; that of the source is the input's."""
    num_tokens: Annotated[int, Field(ge=1)]
    start_token: Annotated[int, Field(ge=0)]
    end_token: Annotated[int, Field(ge=0)]
    source_end_token: Annotated[int, Field(ge=0)]
    """Follows the last token of every source."""
    search: SearchDefaults = SearchDefaults()


class CtcOutput(Part):
    """`logits [batch, time, 1 + labels]`: of the blank, then of each label, at every step.

    What is written is each new label of the best path, see `service.artifact.ctc`.
    """

    task: Literal[Task.CTC] = Task.CTC
    logits: str = "logits"
    labels: tuple[str, ...] = Field(min_length=1)
    """What is written for each, one after the other, with nothing between them."""
    step_seconds: Annotated[float, Field(gt=0)]


AnyOutput = (
    AnomalyOutput
    | ClassificationOutput
    | CtcOutput
    | ForecastingOutput
    | LanguageModelingOutput
    | RegressionOutput
    | Seq2SeqOutput
    | TaggingOutput
)
Output = Annotated[
    AnyOutput,
    Field(discriminator="task"),
]

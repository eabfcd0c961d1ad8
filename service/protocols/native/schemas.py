"""The bodies of the native protocol, both ways. Limits stand here once: decoding checks them,
the OpenAPI document shows them.

Replies are rendered by `codec`, straight from the data plane's values; their types are here for
the document, and a test reads real replies with them.
"""

from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, UnsetType

_INT64_MAX = 2**63 - 1

Sequence = Annotated[
    msgspec.Raw,
    Meta(
        description=(
            "One sequence: text, token ids, samples of sound, or rows of numbers, one row a time "
            "step."
        ),
        extra_json_schema={
            "oneOf": [
                {"type": "string", "minLength": 1},
                {"type": "array", "minItems": 1, "items": {"type": "number"}},
                {
                    "type": "array",
                    "minItems": 1,
                    "items": {"type": "array", "minItems": 1, "items": {"type": "number"}},
                },
            ]
        },
    ),
]


def _null() -> msgspec.Raw:
    return msgspec.Raw(b"null")


Prompt = Annotated[
    msgspec.Raw,
    Meta(
        description="Text, or token ids.",
        extra_json_schema={
            "oneOf": [
                {"type": "string"},
                {"type": "array", "items": {"type": "integer"}},
                {"type": "null"},
            ]
        },
    ),
]
Tensor = Annotated[
    msgspec.Raw,
    Meta(
        description="A tensor: nested lists of numbers, a megabyte at most.",
        extra_json_schema={"type": "array"},
    ),
]
Milliseconds = Annotated[float, Meta(gt=0)]
Step = Annotated[int, Meta(ge=0, le=_INT64_MAX)]
SessionId = Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._~-]{0,127}$")]
"""It stands in URLs as it is."""
MAX_NAME_LENGTH = 1024
"""What is longer is no name of anything, and not worth being repeated in an error."""
Name = Annotated[str, Meta(max_length=MAX_NAME_LENGTH)]
StopString = Annotated[str, Meta(min_length=1, max_length=1024)]


BeamWidth = Annotated[
    int,
    Meta(
        ge=1,
        le=_INT64_MAX,
        description="Of a seq2seq model: how many texts a search keeps at every token.",
    ),
]
LengthPenalty = Annotated[
    float,
    Meta(
        ge=0,
        description="Of a seq2seq model: 0 compares texts as they are, which favours short ones.",
    ),
]
MaxTokens = Annotated[int, Meta(ge=1, le=_INT64_MAX)]


class PredictBody(msgspec.Struct, forbid_unknown_fields=True):
    inputs: Annotated[list[Sequence], Meta(min_length=1)]
    raw: bool = False
    explain: Annotated[
        bool, Meta(description="Whether to tell what part each step had in an answer.")
    ] = False
    deadline_ms: Milliseconds | None = None
    beam_width: BeamWidth | None = None
    length_penalty: LengthPenalty | None = None
    max_tokens: MaxTokens | None = None


class StepBody(msgspec.Struct, forbid_unknown_fields=True):
    inputs: Sequence
    step: Step | None = None
    deadline_ms: Milliseconds | None = None
    raw: bool = False


class ChunkBody(msgspec.Struct, forbid_unknown_fields=True):
    session_id: Name
    inputs: Sequence
    step: Step | None = None
    raw: bool = False


class StepsBody(msgspec.Struct, forbid_unknown_fields=True):
    steps: Annotated[list[ChunkBody], Meta(min_length=1)]
    deadline_ms: Milliseconds | None = None


class GenerateBody(msgspec.Struct, forbid_unknown_fields=True):
    prompt: Prompt = msgspec.field(default_factory=_null)
    max_tokens: MaxTokens | None = None
    temperature: Annotated[float, Meta(ge=0)] | None = None
    top_k: Annotated[int, Meta(ge=0, le=_INT64_MAX)] | None = None
    top_p: Annotated[float, Meta(gt=0, le=1)] | None = None
    repetition_penalty: Annotated[float, Meta(gt=0)] = 1.0
    seed: Annotated[int, Meta(ge=0, le=_INT64_MAX)] | None = None
    stop: StopString | list[StopString] | None = None
    n: Annotated[int, Meta(ge=1, le=_INT64_MAX)] = 1
    logprobs: Annotated[int, Meta(ge=0, le=_INT64_MAX)] | None = None
    stream: bool = False
    deadline_ms: Milliseconds | None = None
    beam_width: BeamWidth | None = None
    length_penalty: LengthPenalty | None = None


class SessionGenerateBody(GenerateBody, forbid_unknown_fields=True):
    step: Step | None = None


class OpenBody(msgspec.Struct, forbid_unknown_fields=True):
    session_id: SessionId | None = None
    ttl_seconds: Annotated[float, Meta(gt=0)] | None = None
    initial_state: dict[Name, Tensor] | None = None
    fork_of: Name | None = None
    metadata: dict[str, str] | None = None


class ForkBody(msgspec.Struct, forbid_unknown_fields=True):
    session_id: SessionId | None = None


class TaggedWord(msgspec.Struct):
    """`start` and `end` are in characters of the text that was sent."""

    word: str
    start: int
    end: int
    tag: str
    probability: float


class Intent(msgspec.Struct):
    label: str
    probabilities: dict[str, float]


class Alignment(msgspec.Struct):
    """Where a decoder looked in the source as it wrote each token; the weights of each sum to 1."""

    weights: Annotated[list[list[float]], Meta(description="[target_time][source_time]")]
    source: Annotated[list[str], Meta(description="Its tokens, and what ends every source.")]
    target: Annotated[list[str], Meta(description="Its tokens, and the end where it has one.")]


class Attention(msgspec.Struct, omit_defaults=True):
    """What part each step had in the answer; the weights of a head sum to 1."""

    weights: Annotated[
        list[Any], Meta(description="[time], or [heads][time] where there are several heads.")
    ]
    tokens: Annotated[list[str], Meta(description="One a step, of a text.")] | UnsetType = UNSET


class Prediction(msgspec.Struct, omit_defaults=True):
    """In the task's own terms: the fields of the task are there, the others are not.

    A sequence that failed has only `error`.
    """

    label: str | UnsetType = UNSET
    probabilities: dict[str, float] | UnsetType = UNSET
    forecast: Annotated[list[list[float]], Meta(description="[horizon][targets]")] | UnsetType = (
        UNSET
    )
    quantiles: (
        Annotated[
            dict[str, list[list[float]]],
            Meta(description="By the share of what comes that is to lie below, e.g. `0.1`."),
        ]
        | UnsetType
    ) = UNSET
    scores: Annotated[list[float], Meta(description="[time]")] | UnsetType = UNSET
    anomalies: Annotated[list[bool], Meta(description="[time]")] | UnsetType = UNSET
    value: float | UnsetType = UNSET
    values: Annotated[list[float], Meta(description="[time]")] | UnsetType = UNSET
    unit: str | UnsetType = UNSET
    log_likelihood: float | UnsetType = UNSET
    perplexity: float | UnsetType = UNSET
    tokens: list[str] | UnsetType = UNSET
    token_log_likelihoods: list[float] | UnsetType = UNSET
    tags: Annotated[list[str], Meta(description="One a token.")] | UnsetType = UNSET
    tag_probabilities: list[float] | UnsetType = UNSET
    words: list[TaggedWord] | UnsetType = UNSET
    text: Annotated[str, Meta(description="What was said, or written.")] | UnsetType = UNSET
    score: (
        Annotated[float, Meta(description="Log probability; of what was written, by its length.")]
        | UnsetType
    ) = UNSET
    times: (
        Annotated[list[float], Meta(description="Seconds from the start; one a label of the text.")]
        | UnsetType
    ) = UNSET
    intent: Intent | UnsetType = UNSET
    alignment: Alignment | UnsetType = UNSET
    attention: Attention | UnsetType = UNSET
    outputs: dict[str, list[Any]] | UnsetType = UNSET
    error: dict[str, Any] | UnsetType = UNSET


class PredictUsage(msgspec.Struct):
    sequences: int
    steps: int


class PredictReply(msgspec.Struct):
    model: str
    version: int
    predictions: list[Prediction]
    usage: PredictUsage


class StepReply(msgspec.Struct):
    session_id: str
    step: int
    prediction: Prediction
    expires_at: str


class ChunkReply(msgspec.Struct, omit_defaults=True):
    """As a step's own reply; or, of a chunk that failed, its session and the error."""

    session_id: str
    step: int | UnsetType = UNSET
    prediction: Prediction | UnsetType = UNSET
    expires_at: str | UnsetType = UNSET
    replayed: bool | UnsetType = UNSET
    error: dict[str, Any] | UnsetType = UNSET


class StepsUsage(msgspec.Struct):
    chunks: int
    steps: int


class StepsReply(msgspec.Struct):
    results: list[ChunkReply]
    usage: StepsUsage


class TokenLogprob(msgspec.Struct):
    token: str
    logprob: float
    top: dict[str, float]


class Choice(msgspec.Struct):
    index: int
    text: str
    finish_reason: str
    logprobs: list[TokenLogprob] | UnsetType = UNSET


class GenerateUsage(msgspec.Struct):
    prompt_tokens: int
    completion_tokens: int
    reused_tokens: int


class GenerateReply(msgspec.Struct):
    model: str
    version: int
    choices: list[Choice]
    usage: GenerateUsage
    session_id: str | UnsetType = UNSET
    step: int | UnsetType = UNSET
    expires_at: str | UnsetType = UNSET


def tensors(meaning: str) -> Any:
    """A body of tensors; `meaning` says which, for the document."""
    schema = {"type": "string", "format": "binary"}
    return Annotated[Any, Meta(description=meaning, extra_json_schema=schema)]


EventStream = Annotated[
    Any,
    Meta(
        description=(
            "Server-sent events: `{index, text, logprobs?}` for each piece of text; at the end "
            "`event: done` with choices and usage, or `event: error` with an error."
        )
    ),
]


class SessionReply(msgspec.Struct):
    session_id: str
    model: str
    version: int
    step: int
    expires_at: str
    created_at: str
    busy: bool
    state_bytes: int
    state_norms: dict[str, float]
    metadata: dict[str, str]


class SessionList(msgspec.Struct):
    object: str
    data: list[SessionReply]


class ModelReply(msgspec.Struct):
    """OpenAI's four fields, then ours."""

    id: str
    object: str
    created: int
    owned_by: str
    version: int
    task: str
    causal: bool
    description: str
    licence: str
    input: dict[str, Any]
    output: dict[str, Any]
    inputs: list[dict[str, Any]]
    outputs: list[dict[str, Any]]
    state: list[dict[str, Any]]
    encoder: Annotated[
        dict[str, Any] | None,
        Meta(description="Of a seq2seq model: what reads the source. The rest is the decoder's."),
    ]
    memory: Annotated[dict[str, Any] | None, Meta(description="What the decoder looks back at.")]
    limits: dict[str, Any]
    provenance: dict[str, Any]
    digest: str
    device: str
    precision: str
    loaded_at: str
    probe_difference: float


class ModelList(msgspec.Struct):
    object: str
    data: list[ModelReply]

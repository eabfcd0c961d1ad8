"""The values that cross the data plane: what is asked, and what comes back, in Python types.

Structs, where the rest of the service has dataclasses: each request makes several of them, and a
frozen dataclass takes six times as long to make.
"""

from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from service.artifact.manifest import Manifest
from service.engine.sequence import Flow
from service.errors import RecurError

SequenceInput = str | NDArray[Any] | RecurError
"""Text, token ids int64 or samples `[time]`, or numbers float32 `[time, features]`.

A sequence that a protocol could not read arrives as its error and leaves as its error, so that
it fails alone.
"""


@dataclass(frozen=True, slots=True)
class DataPlaneLimits:
    """What one request may ask for. A request beyond one of them is refused by its name."""

    max_sequences: int = 1024
    max_steps: int = 100_000
    max_tokens: int = 4096
    max_choices: int = 16
    max_beam_width: int = 16
    max_logprobs: int = 20
    max_stop_strings: int = 8
    max_streams: int = 256
    max_metadata_bytes: int = 4096
    max_raw_bytes: int = 1 << 26


PRIORITIES = {"low": 0.25, "normal": 1.0, "high": 4.0}
"""How much a call counts where several want the same model."""


class Call(msgspec.Struct, frozen=True):
    """Who asks, and until when. `deadline` is in seconds of `time.monotonic()`."""

    tenant: str
    protocol: str
    deadline: float | None = None
    priority: str = "normal"
    """One of PRIORITIES."""

    @property
    def flow(self) -> Flow:
        """What the engine shares a model by: tenants alike, whatever each of them sends."""
        return Flow(self.tenant, PRIORITIES[self.priority])


class Classification(msgspec.Struct, frozen=True):
    labels: tuple[str, ...]
    probabilities: NDArray[np.float64]
    """`[labels]`"""

    @property
    def label(self) -> str:
        """The likeliest."""
        return self.labels[int(self.probabilities.argmax())]

    @property
    def named(self) -> dict[str, float]:
        """Each label's probability."""
        return dict(zip(self.labels, self.probabilities.tolist(), strict=True))


class Quantiles(msgspec.Struct, frozen=True):
    """What shares of all that may come are to lie below."""

    shares: tuple[float, ...]
    values: NDArray[np.float32]
    """`[shares, horizon, targets]`"""

    @property
    def named(self) -> dict[str, NDArray[np.float32]]:
        """Each share's values, `[horizon, targets]`."""
        return {str(share): row for share, row in zip(self.shares, self.values, strict=True)}


class Forecast(msgspec.Struct, frozen=True):
    forecast: NDArray[np.float32]
    """`[horizon, targets]`, in the units of the manifest, for the steps after the last one."""
    quantiles: Quantiles | None = None
    """Where the model has them; the forecast is the one of 0.5."""


class Anomalies(msgspec.Struct, frozen=True):
    """Of every step of the sequence or chunk."""

    scores: NDArray[np.float32]
    """`[time]`"""
    anomalies: NDArray[np.bool_]
    """`[time]`: whether the score is above the model's threshold."""


class Regression(msgspec.Struct, frozen=True):
    value: float
    """At the last step."""
    unit: str
    values: NDArray[np.float32] | None = None
    """`[time]`, of a model that is asked for one at every step."""


class Likelihood(msgspec.Struct, frozen=True):
    """How likely the model finds a text, in nats."""

    log_likelihood: float
    perplexity: float
    tokens: list[str]
    token_log_likelihoods: NDArray[np.float64]


class Transcript(msgspec.Struct, frozen=True):
    """What was said in a sequence, or newly in a chunk of it."""

    text: str
    score: float
    """Log probability of the best path, in nats: a sequence's is the sum of its chunks'."""
    times: list[float]
    """When each label of the text was told, in seconds from where the sequence began."""


class TaggedWord(msgspec.Struct, frozen=True):
    """A word of the text that was sent: `text[start:end]`. Its last token's tag is its own."""

    word: str
    start: int
    end: int
    tag: str
    probability: float


class Tagging(msgspec.Struct, frozen=True):
    """A tag for every token, and for every word where text was sent, not token ids."""

    tokens: list[str]
    tags: list[str]
    tag_probabilities: list[float]
    """Of the tags given."""
    words: list[TaggedWord] | None = None
    intent: Classification | None = None
    """What the whole sequence is; of a causal model, what it is so far."""


class Alignment(msgspec.Struct, frozen=True):
    """Where a decoder looked in the source as it wrote each token."""

    weights: NDArray[np.float32]
    """`[target_time, source_time]`; each row sums to 1."""
    source: list[str]
    """Tokens; the last is what ends every source."""
    target: list[str]
    """Tokens; the last is the end, where the text has one."""


class Written(msgspec.Struct, frozen=True):
    """The text that another one becomes."""

    text: str
    score: float
    """Its log probability, in nats, over its length as the length penalty weighs it."""
    alignment: Alignment | None = None
    """Where it was asked for."""


Answer = (
    Anomalies | Classification | Forecast | Likelihood | Regression | Tagging | Transcript | Written
)


class Attention(msgspec.Struct, frozen=True):
    """What part each step of a sequence had in its answer."""

    weights: NDArray[np.float32]
    """`[time]`, or `[heads, time]` where there are several heads; those of a head sum to 1."""
    tokens: list[str] | None = None
    """One a step, where the sequence is a text."""


_BYTES_PER_STEP = 80
"""A token's text and its log likelihood."""
_BYTES_PER_PREDICTION = 4096


class Prediction(msgspec.Struct, frozen=True):
    """One sequence's answer in its task's terms; `outputs` are the raw tensors, if asked for."""

    answer: Answer
    steps: int
    outputs: dict[str, NDArray[np.float32]] | None = None
    attention: Attention | None = None
    """If an explanation was asked for."""

    @property
    def num_bytes(self) -> int:
        """About what it takes in memory."""
        arrays = sum(array.nbytes for array in (self.outputs or {}).values())
        return arrays + _BYTES_PER_STEP * self.steps + _BYTES_PER_PREDICTION


class Predictions(msgspec.Struct, frozen=True):
    model: str
    version: int
    results: list[Prediction | RecurError]
    """In the order of the request."""


class SearchRequest(msgspec.Struct, frozen=True):
    """How to search for the text that another one becomes. `None` is the model's default."""

    beam_width: int | None = None
    length_penalty: float | None = None
    max_tokens: int | None = None


DEFAULT_SEARCH = SearchRequest()


class GenerateRequest(msgspec.Struct, frozen=True):
    """`None` is the model's default. `prompt` None or empty starts from nothing, or the session."""

    prompt: str | NDArray[np.int64] | None = None
    max_tokens: int | None = None
    temperature: float | None = None
    top_k: int | None = None
    top_p: float | None = None
    repetition_penalty: float = 1.0
    seed: int | None = None
    stop: tuple[str, ...] = ()
    n: int = 1
    logprobs: int | None = None
    """None: no log probabilities; k: those of the sampled tokens and of the k likeliest."""
    stream: bool = True
    """Whether pieces are wanted as they come; the end has the whole text in any case."""
    beam_width: int | None = None
    """Of an encoder-decoder: above one, texts are searched for, not drawn."""
    length_penalty: float | None = None


class TokenLogprob(msgspec.Struct, frozen=True):
    token: str
    logprob: float
    top: dict[str, float]


class TextPiece(msgspec.Struct, frozen=True):
    """Text of one choice that became certain; never a part of a character."""

    index: int
    text: str
    logprobs: tuple[TokenLogprob, ...] = ()


class Choice(msgspec.Struct, frozen=True):
    index: int
    text: str
    finish_reason: str
    """`stop` (a stop string or the end token) or `length`."""
    logprobs: tuple[TokenLogprob, ...] | None = None


class GenerationUsage(msgspec.Struct, frozen=True):
    prompt_tokens: int
    completion_tokens: int
    reused_tokens: int = 0
    """Prompt tokens, or steps of the session, that were not computed again."""


class GenerationDone(msgspec.Struct, frozen=True):
    """The last event of a generation."""

    model: str
    version: int
    choices: tuple[Choice, ...]
    usage: GenerationUsage
    session: "SessionInfo | None" = None
    replayed: bool = False
    """Given before: the session was not moved again."""


GenerationEvent = TextPiece | GenerationDone


class OpenRequest(msgspec.Struct, frozen=True):
    session_id: str | None = None
    ttl_seconds: float | None = None
    initial_state: dict[str, NDArray[np.float32]] | None = None
    """By the name of the state input, each of `StateSpec.row_shape`; absent ones are zero."""
    fork_of: str | None = None
    metadata: dict[str, str] = {}


class SessionInfo(msgspec.Struct, frozen=True):
    session_id: str
    model: str
    version: int
    step: int
    expires_at: float
    """Seconds since the epoch; moves on with every completed step."""
    created_at: float
    busy: bool
    state_bytes: int
    state_norms: dict[str, float]
    """Euclidean norm of each state tensor, by its input's name."""
    metadata: dict[str, str]


class Chunk(msgspec.Struct, frozen=True):
    """What a session is to be advanced by."""

    session_id: str
    inputs: SequenceInput
    step: int | None = None
    """Where the caller believes the session to be; None is wherever it is."""
    raw: bool = False


class StepReply(msgspec.Struct, frozen=True):
    session_id: str
    step: int
    prediction: Prediction
    expires_at: float


class Feed(msgspec.Struct, frozen=True):
    """`replayed`: the reply was given before, the state was not moved again."""

    reply: StepReply
    replayed: bool
    model: str = ""
    """Whose session it is, for the metrics."""


class ModelInfo(msgspec.Struct, frozen=True):
    """A served model: its manifest, and how it runs here."""

    manifest: Manifest
    digest: str
    device: str
    loaded_at: float
    probe_difference: float
    """Largest relative difference of the probe's replay at load."""
    precision: str = "float32"
    """Of the form that is served here."""

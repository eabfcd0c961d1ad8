"""A run is a value: all that decides a training is a field of one frozen object."""

from dataclasses import dataclass
from typing import Literal

from pydantic import TypeAdapter

Cell = Literal[
    "rnn_tanh", "rnn_relu", "lstm", "gru", "gru_cho", "min_gru", "min_lstm", "ln_lstm", "ln_gru"
]
"""`training/NETWORKS.md` has the equations of each."""
Combine = Literal["concat", "sum", "mean"]
AttentionKind = Literal["additive", "multiplicative", "dot", "multi_head"]
Precision = Literal["32-true", "bf16-mixed", "16-mixed"]
Reading = Literal["plain", "differences", "strokes", "skeleton", "spectrum", "baseline"]


@dataclass(frozen=True, slots=True)
class DataConfig:
    """Which numbers, and how they are cut into batches."""

    dataset: str
    """A name that `training.data.build` knows."""
    batch_size: int
    """Rows of a training batch; streams, where the data is one long text."""
    chunk_steps: int = 0
    """Steps of one training chunk of a long text or series; 0 where items are whole."""
    warm_up_steps: int = 0
    """First steps of a window that carry no loss: the model has not seen enough yet."""
    validation_fraction: float = 0.1
    """The part of the training split that is held out, where the data has no split of its own."""
    every_step: bool = False
    """Whether a number is asked for at every step of an item (many to many), or at its last."""
    looks: int = 1
    """How often an epoch comes back to an item that is another one each time."""
    min_frequency: int = 1
    """A word seen less often in the training text becomes `[UNK]`."""
    longest_story: int = 0
    """Tokens beyond which a story is left out of training, where it costs much and teaches little;
    0: all are read."""
    num_pieces: int = 0
    """Pieces that words are cut into (BPE), so that no word is unknown; 0: words stay whole."""
    source_tokens: int = 0
    """Pieces of words (BPE) that a source text is cut into, of so many kinds."""
    target_tokens: int = 0


@dataclass(frozen=True, slots=True)
class ModelConfig:
    cell: Cell
    hidden: int
    layers: int = 1
    bidirectional: bool = False
    embedding: int = 0
    """Width of a token's vector; 0 where the input is numbers."""
    dropout: float = 0.0
    """On the outputs of every recurrent layer, in training only."""
    embedding_dropout: float = 0.0
    token_dropout: float = 0.0
    """Chance that a token is replaced by the unknown one, in training only."""
    spelling: bool = False
    """Whether a token's vector is also of how it begins, how it ends, and its capitals."""
    pools_tokens: bool = False
    """Whether a classifier's pooling also draws the tokens' own vectors, so that an answer may be
    pointed at in the text."""
    tied: bool = False
    """Whether what writes tokens scores them by the vectors that they come in by."""
    recent_steps: int = 0
    """Last rows of the series that a forecaster keeps beside its recurrent state."""
    quantiles: tuple[float, ...] = ()
    """Shares of what comes that a forecast tells bands for; ascending, with the median's 0.5."""
    seasons: tuple[int, ...] = ()
    """Rows after each of which a series with bands is taken to come again; 1: it stays where it
    is."""
    reading: Reading = "plain"
    """How a row of numbers is read: scaled; with its difference from the row before; as a pen's
    way, from its own beginning and in its own size; as joints seen from the first one; as a frame
    of samples, by its spectrum; or in deviations from what its own sequence began with."""
    answers_by: Literal["now", "all"] = "now"
    """What a network of signals reads its answer off: its outputs now, or these beside the mean
    of all up to now."""
    baseline_steps: int = 0
    """First rows of a sequence that are taken for its normal state."""
    combine: Combine = "concat"
    """What becomes of both directions' outputs in every layer, where there are two."""
    residual: bool = False
    """Whether every recurrent layer but the first adds to what it reads."""
    layer_norm: bool = False
    """Whether the outputs of every recurrent layer are normalised, step by step."""
    attention: AttentionKind | None = None
    """How a decoder looks back at the source; None: it knows the encoder's last state only."""
    heads: int = 1
    """Of attention with several; of what pools a whole sequence, how many weighted means it is."""


@dataclass(frozen=True, slots=True)
class OptimConfig:
    """AdamW under a linear warm-up and a cosine that ends at zero."""

    learning_rate: float
    max_epochs: int
    weight_decay: float = 0.0
    warm_up_fraction: float = 0.1
    clip_norm: float = 1.0
    label_smoothing: float = 0.0
    patience_epochs: int | None = None
    """Epochs without a better validation figure before a run stops early; None never stops."""
    keep: Literal["best", "last"] = "best"
    """Which epoch's weights are the model: of the lowest validation loss, or of the end of the
    schedule, where the rate is zero; the wiser one if the validation split is too small to tell."""


@dataclass(frozen=True, slots=True)
class SearchConfig:
    """How texts are decoded, in evaluation and, unless a request says otherwise, in serving."""

    beam_width: int = 1
    length_penalty: float = 0.0
    max_tokens: int = 100


@dataclass(frozen=True, slots=True)
class Reference:
    """A published figure for the card, with where it was read."""

    text: str
    source: str


@dataclass(frozen=True, slots=True)
class RunConfig:
    """A recipe's value. `name` is the published one, with hyphens."""

    name: str
    description: str
    data: DataConfig
    model: ModelConfig
    optim: OptimConfig
    references: tuple[Reference, ...] = ()
    caveats: tuple[str, ...] = ()
    """What a user of the model should know before trusting it; goes on the card."""
    search: SearchConfig = SearchConfig()
    """Of a model that writes from what it read."""
    examples: tuple[str, ...] = ()
    """Made-up texts that its card shows with what is written of them; none: some of the test."""
    seed: int = 0
    precision: Precision = "32-true"
    accelerator: str = "cpu"
    devices: int = 1
    threads: int = 1
    """CPU threads of one training process: small recurrent steps gain little from more."""


def dump_config(config: RunConfig) -> bytes:
    """The value as JSON, kept beside what was made by it."""
    return _ADAPTER.dump_json(config, indent=2)


def load_config(data: bytes) -> RunConfig:
    """The value that `dump_config` wrote; raises ValueError if it is none."""
    return _ADAPTER.validate_json(data)


_ADAPTER = TypeAdapter(RunConfig)

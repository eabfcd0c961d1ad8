"""What a task makes of a sequence: input to rows of the engine, the engine's end to an answer."""

import asyncio
from collections.abc import Sequence
from typing import Any, TypeVar

import msgspec
import numpy as np
from numpy.typing import NDArray

from service.artifact.ctc import BLANK, last_told
from service.artifact.scores import softmax
from service.artifact.tasks import (
    AnomalyOutput,
    AudioInput,
    ClassificationOutput,
    CtcOutput,
    ForecastingOutput,
    LanguageModelingOutput,
    NumericInput,
    RegressionOutput,
    Seq2SeqOutput,
    TaggingOutput,
    TextInput,
)
from service.dataplane.explaining import attention_of
from service.dataplane.series import ReadSeries
from service.dataplane.sound import Hops, checked_samples, heard_from
from service.dataplane.tagging import WordSteps, tagging_of
from service.dataplane.transcribing import transcript_of
from service.dataplane.types import (
    Anomalies,
    Call,
    Classification,
    Forecast,
    Likelihood,
    Prediction,
    Quantiles,
    Regression,
    SequenceInput,
)
from service.engine.collector import Collector
from service.engine.continuations import Finished, Read, Score, Wanted
from service.engine.engine import Row
from service.errors import InvalidInput, RecurError, TooLarge
from service.registry.served_model import ServedModel
from service.sessions.session import SessionState

End = TypeVar("End")

_LONG_TEXT = 10_000
"""Characters beyond which text is tokenised in a thread; up to here it takes milliseconds."""
_LONG_BYTES = 1 << 20
"""Of numbers and token ids, beyond which they are checked in a thread."""
_LONG_ANSWERS = 5_000
"""Steps beyond which answers are made in a thread: some name every token."""
_MAX_CHARACTERS_PER_STEP = 64
"""Text longer than this many times the steps allowed is refused before it is tokenised."""
_OF_TWO_GRAPHS = "an encoder-decoder's sources are translated"

_FEW = 16
"""Numbers up to which Python's own loop is faster than an array's."""


def start_state(model: ServedModel) -> SessionState:
    """Where every prediction and every new session begins."""
    manifest = model.manifest
    match manifest.output:
        case LanguageModelingOutput(start_token=token):
            pending = token
        case CtcOutput():
            pending = BLANK
        case _:
            pending = None
    waiting = np.zeros(0, np.float32) if isinstance(manifest.input, AudioInput) else None
    return SessionState(model.runtime.initial_state(), pending, waiting)


def steps_of(
    model: ServedModel, value: SequenceInput, *, max_steps: int, param: str
) -> NDArray[Any]:
    """Token ids int64 `[time]` or numbers float32 `[time, features]`, fit for the model; or
    samples float32 `[time]`, which `continued` makes steps.

    Raises InvalidInput or TooLarge that name `param` and the limit.
    """
    if isinstance(value, RecurError):
        raise value
    max_steps, samples_per_step = min(max_steps, model.manifest.limits.max_steps), 1
    match model.manifest.input:
        case TextInput(num_tokens=num_tokens):
            if isinstance(value, str):
                steps = _encode(model, value, max_steps=max_steps, param=param)
            else:
                steps = _checked_tokens(value, num_tokens, param=param)
        case NumericInput(features=features):
            steps = _checked_numbers(value, features, param=param)
        case AudioInput(hop=hop) as reads:
            steps = checked_samples(value, reads, param=param)
            samples_per_step = hop
    length = -(-len(steps) // samples_per_step)
    if length == 0:
        raise InvalidInput("a sequence needs at least one step", param=param, details={"min": 1})
    if length > max_steps:
        raise _too_long(length, max_steps, param)
    return steps


def continued(
    model: ServedModel, read: NDArray[Any], state: SessionState, *, param: str
) -> NDArray[Any]:
    """What `steps_of` gave, as steps that go on from `state`: of samples, the hops they complete.

    Raises InvalidInput.
    """
    reads = model.manifest.input
    return heard_from(read, state, reads, param=param) if isinstance(reads, AudioInput) else read


async def read_one(
    model: ServedModel, value: SequenceInput, param: str, *, max_steps: int
) -> NDArray[Any]:
    """A sequence as the model takes it. Raises what `steps_of` raises."""
    if not _is_long((value,)):
        return steps_of(model, value, max_steps=max_steps, param=param)
    with model.engine.hold():
        return await asyncio.to_thread(steps_of, model, value, max_steps=max_steps, param=param)


async def read_all(
    model: ServedModel, named: Sequence[tuple[str, SequenceInput]], *, max_steps: int
) -> list[NDArray[Any] | RecurError]:
    """Each named sequence as the model takes it, or why it cannot be taken.

    What is long is read in a thread, while the engine is held: its version must not go away
    between here and the work.
    """
    if not _is_long([value for _, value in named]):
        return _read_now(model, named, max_steps)
    with model.engine.hold():
        return await asyncio.to_thread(_read_now, model, named, max_steps)


def begun(
    model: ServedModel,
    named: Sequence[tuple[str, SequenceInput]],
    read: Sequence[NDArray[Any] | RecurError],
) -> list[NDArray[Any] | RecurError]:
    """What `read_all` gave of each named sequence, as steps from the start."""
    if not isinstance(model.manifest.input, AudioInput):
        return list(read)
    start, results = start_state(model), list[NDArray[Any] | RecurError]()
    for (param, _), one in zip(named, read, strict=True):
        try:
            failed = isinstance(one, RecurError)
            results.append(one if failed else continued(model, one, start, param=param))
        except InvalidInput as error:
            results.append(error.kept())
    return results


def row_of(
    model: ServedModel,
    steps: NDArray[Any],
    state: SessionState,
    *,
    raw: bool,
    attention: str | None = None,
) -> Row:
    """The engine's row that reads `steps` on from `state`; `attention` is an output to tell of.

    A language model reads the token before each one of the text, so that every token of the text
    is predicted: its inputs are the pending token and all of the text but its last.
    """
    per_step = model.runtime.per_step
    match model.manifest.output:
        case LanguageModelingOutput(logits=logits):
            inputs = state.context(steps)[:-1]
            continuation = Score(per_step, logits=logits, targets=steps, keep=raw)
            return Row(inputs, state.tensors, continuation)
        case (
            AnomalyOutput(score=name)
            | CtcOutput(logits=name)
            | TaggingOutput(scores=name)
            | RegressionOutput(value=name, every_step=True)
        ):
            reader = ReadSeries(per_step, output=name, keep=raw, attention=attention)
            return Row(np.asarray(steps), state.tensors, reader)
        case ClassificationOutput(logits=logits):
            wanted = Wanted(logits, softmax)
        case ForecastingOutput(forecast=forecast):
            wanted = Wanted(forecast, np.asarray)
        case RegressionOutput(value=value):
            wanted = Wanted(value, np.asarray)
        case Seq2SeqOutput():
            raise AssertionError(_OF_TWO_GRAPHS)
    reader = Read(per_step, wanted=wanted, keep=raw, attention=attention)
    return Row(np.asarray(steps), state.tensors, reader)


async def read_to_end(
    model: ServedModel, rows: list[Row], call: Call
) -> list[Finished | RecurError]:
    """Submit and wait for every row; leaving early drops them."""
    collector = model.engine.submit(rows, deadline=call.deadline, flow=call.flow)
    return await ends_of(collector, Finished)


async def ends_of(collector: Collector, kind: type[End]) -> list[End | RecurError]:
    """Wait for every row, each of which ends in a `kind`; leaving early drops them."""
    try:
        ends = await collector.ends()
    finally:
        collector.close()
    return [end for end in ends if isinstance(end, (kind, RecurError))]


def state_after(model: ServedModel, finished: Finished, steps: NDArray[Any]) -> SessionState:
    """Where the sequence that `steps` was may be gone on from."""
    match model.manifest.output:
        case LanguageModelingOutput():
            pending = int(steps[-1])
        case CtcOutput():
            assert finished.answer is not None, "its rows keep every score"
            pending = last_told(finished.answer)
        case _:
            pending = None
    waiting = steps.waiting if isinstance(steps, Hops) else None
    return SessionState(finished.state, pending, waiting)


class Ended(msgspec.Struct, frozen=True):
    """A sequence that was read to its end."""

    finished: Finished
    steps: NDArray[Any]
    before: SessionState
    """Where it went on from."""
    step: int = 0
    """How many steps had been there."""


async def predictions_of(model: ServedModel, ends: Sequence[Ended]) -> list[Prediction]:
    """The answer of each sequence. Long answers are made in a thread, while the engine is held."""
    if sum([len(ended.steps) for ended in ends]) <= _LONG_ANSWERS:
        return _tell_now(model, ends)
    with model.engine.hold():
        return await asyncio.to_thread(_tell_now, model, ends)


def prediction_of(model: ServedModel, ended: Ended) -> Prediction:
    """The answer in the task's own terms."""
    finished, steps = ended.finished, ended.steps
    match model.manifest.output:
        case AnomalyOutput(threshold=threshold):
            assert finished.answer is not None, "its rows keep every score"
            scores = finished.answer[:, 0]
            answer = Anomalies(scores, scores > threshold)
        case ClassificationOutput(labels=labels):
            assert finished.answer is not None, "it was wanted"
            answer = Classification(labels, finished.answer)
        case CtcOutput() as output:
            assert finished.answer is not None, "its rows keep every score"
            answer = transcript_of(output, finished.answer, ended.before, step=ended.step)
        case ForecastingOutput() as output:
            assert finished.answer is not None, "it was wanted"
            answer = _forecast_of(output, finished.answer)
        case RegressionOutput(unit=unit, every_step=True):
            assert finished.answer is not None, "its rows keep every value"
            values = finished.answer[:, 0]
            answer = Regression(float(values[-1]), unit, values)
        case RegressionOutput(unit=unit):
            assert finished.answer is not None, "it was wanted"
            answer = Regression(float(finished.answer[0]), unit)
        case LanguageModelingOutput():
            assert model.text is not None, "a language model has a tokenizer"
            assert finished.token_log_likelihoods is not None, "its rows are scored"
            scores = finished.token_log_likelihoods
            answer = Likelihood(
                log_likelihood=float(scores.sum()),
                perplexity=float(np.exp(-scores.mean())),
                tokens=[model.text.token(int(token)) for token in steps],
                token_log_likelihoods=scores,
            )
        case TaggingOutput() as output:
            assert model.text is not None, "a tagger has a tokenizer"
            assert finished.answer is not None, "it was wanted"
            answer = tagging_of(output, finished.answer, steps, text=model.text)
        case Seq2SeqOutput():
            raise AssertionError(_OF_TWO_GRAPHS)
    weights = finished.attention
    attention = None if weights is None else attention_of(model, weights, steps)
    return Prediction(answer, len(steps), finished.outputs, attention)


def _forecast_of(output: ForecastingOutput, answer: NDArray[np.float32]) -> Forecast:
    if not output.quantiles:
        return Forecast(answer)
    return Forecast(answer[output.median], Quantiles(output.quantiles, answer))


def _tell_now(model: ServedModel, ends: Sequence[Ended]) -> list[Prediction]:
    return [prediction_of(model, ended) for ended in ends]


def _read_now(
    model: ServedModel, named: Sequence[tuple[str, SequenceInput]], max_steps: int
) -> list[NDArray[Any] | RecurError]:
    results: list[NDArray[Any] | RecurError] = []
    for param, value in named:
        try:
            results.append(steps_of(model, value, max_steps=max_steps, param=param))
        except RecurError as error:
            results.append(error.kept())
    return results


def _is_long(values: Sequence[SequenceInput]) -> bool:
    """Whether to tokenise the texts among the sequences, or to check the numbers, takes a while."""
    characters = num_bytes = 0
    for value in values:
        if isinstance(value, str):
            characters += len(value)
        elif isinstance(value, np.ndarray):
            num_bytes += value.nbytes
    return characters > _LONG_TEXT or num_bytes > _LONG_BYTES


def _encode(model: ServedModel, value: str, *, max_steps: int, param: str) -> NDArray[np.int64]:
    text = model.text
    assert text is not None, "a model that reads text has a tokenizer"
    if len(value) > max_steps * _MAX_CHARACTERS_PER_STEP:
        raise _too_long(len(value), max_steps, param)
    try:
        if isinstance(model.manifest.output, TaggingOutput):
            return WordSteps.of(text.encode_words(value))
        return text.encode(value)
    except InvalidInput as error:
        raise InvalidInput(error.message, param=param, details=error.details) from error


def _checked_tokens(value: NDArray[Any], num_tokens: int, *, param: str) -> NDArray[np.int64]:
    if value.ndim != 1 or value.dtype.kind not in "iu":
        raise InvalidInput(
            "the model reads text, or token ids [time] of whole numbers", param=param
        )
    value = value.astype(np.int64, copy=False)
    if not _all_below(value, num_tokens):
        at = int(np.argmax((value < 0) | (value >= num_tokens)))
        raise InvalidInput(
            f"token id {int(value[at])} is outside 0..{num_tokens - 1}",
            param=f"{param}[{at}]",
            details={"min": 0, "max": num_tokens - 1},
        )
    return value


def _all_below(value: NDArray[np.int64], limit: int) -> bool:
    """Whether all are in 0..limit - 1."""
    if value.size <= _FEW:
        return all(0 <= number < limit for number in value.tolist())
    # One look finds both ends of the range: seen without its sign, a negative number is huge.
    return bool(value.view(np.uint64).max() < limit)


def _checked_numbers(
    value: str | NDArray[Any], features: tuple[str, ...], *, param: str
) -> NDArray[np.float32]:
    if isinstance(value, str) or value.ndim != 2 or value.shape[1] != len(features):
        raise InvalidInput(
            f"the model reads numbers [time][{len(features)}]: {', '.join(features)}",
            param=param,
            details={"features": list(features)},
        )
    with np.errstate(over="ignore"):
        narrowed = value.astype(np.float32, copy=False)
    finite = np.isfinite(narrowed)
    if not finite.all():
        step, feature = (int(i) for i in np.argwhere(~finite)[0])
        where = f"{param}[{step}][{feature}]"
        raise InvalidInput("numbers must be finite, in the range of float32", param=where)
    return narrowed


def _too_long(length: int, max_steps: int, param: str) -> TooLarge:
    return TooLarge(
        f"{length} steps; a sequence may have {max_steps} (RECUR_MAX_STEPS, or the model's own)",
        param=param,
        details={"limit": max_steps},
    )

"""Tensors to what is asked, and answers to tensors. Ragged sequences stand one after the other.

A request has `inputs`, the steps of all its sequences, and `lengths`, the steps of each one.
What is no number stands in the metadata, as text.
"""

import json
from collections.abc import Sequence
from itertools import pairwise
from typing import Any
from urllib.parse import quote, unquote

import msgspec
import numpy as np
from numpy.typing import NDArray

from service.dataplane.types import (
    Anomalies,
    Answer,
    Chunk,
    Classification,
    Feed,
    Forecast,
    Likelihood,
    Prediction,
    Predictions,
    Regression,
    SearchRequest,
    StepReply,
    Tagging,
    Transcript,
    Written,
)
from service.errors import InvalidInput, MalformedRequest, RecurError
from service.protocols.native.codec import PredictAsk, StepAsk, StepsAsk
from service.protocols.native.render import raise_if_all_failed
from service.protocols.native.schemas import (
    MAX_NAME_LENGTH,
    BeamWidth,
    LengthPenalty,
    MaxTokens,
    Milliseconds,
    Step,
)
from service.protocols.status import error_body
from service.protocols.tensors import Tensors

PREDICT = (
    "Tensors: `inputs`, `[steps, features]` numbers, `[steps]` token ids or `[samples]` of all "
    "sequences, one after the other; `lengths`, `[sequences]`, or none for one sequence. Metadata: "
    "`raw`, `explain`, `deadline_ms`; of a seq2seq model `beam_width`, `length_penalty`, "
    "`max_tokens`."
)
STEP = "Tensors: `inputs`, the chunk. Metadata: `step`, `raw`, `deadline_ms`."
STEPS = (
    "Tensors: `inputs` and `lengths`, as in a prediction; `steps`, `[chunks]` or none, -1 where "
    "a chunk names no step. Metadata: `session_ids`, as in a URL, separated by commas; `raw`, "
    "`deadline_ms`."
)
PREDICTIONS = (
    "Tensors, one row a sequence: `forecast`, and where the model has them `quantiles` (their "
    "shares are in the metadata); or `value`; or `probabilities` (their labels are in the "
    "metadata), which a tagger has of intents; or `log_likelihood` and `perplexity`; or `score`, "
    "of `texts` in the metadata. A tagger's `tags` are in the metadata, one a step. `steps`, those "
    "of each sequence. `failed` where one did: its row is NaN, its error is in the metadata's "
    "`errors`, by its place. Of all sequences, one after the other, with their lengths in "
    "`NAME.lengths`: `token_log_likelihoods`; `tag_probabilities`; `scores` and `anomalies`, or "
    "`values`, of every step; the `times` of what was heard; with `explain` the `attention`, "
    "`[time]` or `[time, heads]`; and with `raw` each `outputs.NAME`."
)
FEEDS = (
    "As of predictions, and `step`, `expires_at` (seconds since the epoch) and `replayed` of each "
    "chunk; in the metadata `session_ids`, as in a URL, separated by commas."
)


class _Options(msgspec.Struct):
    """The metadata, which is text, read as what it means."""

    raw: bool = False
    explain: bool = False
    deadline_ms: Milliseconds | None = None
    beam_width: BeamWidth | None = None
    length_penalty: LengthPenalty | None = None
    max_tokens: MaxTokens | None = None
    step: Step | None = None
    session_ids: str = ""


def read_predict(tensors: Tensors) -> PredictAsk:
    options = _options(
        tensors, "raw", "explain", "deadline_ms", "beam_width", "length_penalty", "max_tokens"
    )
    inputs = _sequences(tensors, "inputs", "lengths")
    search = SearchRequest(options.beam_width, options.length_penalty, options.max_tokens)
    return PredictAsk([*inputs], options.raw, options.explain, options.deadline_ms, search)


def read_step(tensors: Tensors) -> StepAsk:
    options = _options(tensors, "raw", "deadline_ms", "step")
    (inputs,) = _sequences(tensors, "inputs")
    return StepAsk(inputs, options.step, options.raw, options.deadline_ms)


def read_steps(tensors: Tensors) -> StepsAsk:
    options = _options(tensors, "raw", "deadline_ms", "session_ids")
    inputs = _sequences(tensors, "inputs", "lengths", "steps")
    names = [unquote(name) for name in options.session_ids.split(",")]
    if len(names) != len(inputs):
        raise _invalid("session_ids", f"{len(names)} of them, for {len(inputs)} sequences")
    if max(map(len, names)) > MAX_NAME_LENGTH:
        raise _invalid("session_ids", f"one has more than {MAX_NAME_LENGTH} characters")
    steps = _whole_numbers(tensors, "steps", len(inputs), least=-1)
    places = [None] * len(inputs) if steps is None else [None if n < 0 else n for n in steps]
    chunks = [
        Chunk(name, value, place, options.raw)
        for name, value, place in zip(names, inputs, places, strict=True)
    ]
    return StepsAsk(chunks, options.deadline_ms)


def predictions(result: Predictions) -> Tensors | None:
    """Raises the first error where every sequence failed. None: the answers have no common form."""
    raise_if_all_failed(result.results)
    return _answers(result.results, {"model": result.model, "version": str(result.version)})


def feed(value: Feed) -> Tensors:
    """Of one chunk."""
    tensors = _feeds([value.reply.session_id], [value])
    assert tensors is not None, "one answer is like itself"
    return tensors


def feeds(chunks: list[Chunk], results: Sequence[Feed | RecurError]) -> Tensors | None:
    """Raises the first error where every chunk failed. None: the answers have no common form."""
    raise_if_all_failed(results)
    return _feeds([chunk.session_id for chunk in chunks], results)


def _feeds(session_ids: list[str], results: Sequence[Feed | RecurError]) -> Tensors | None:
    rows = [row if isinstance(row, RecurError) else row.reply.prediction for row in results]
    tensors = _answers(rows, {"session_ids": ",".join(map(quote, session_ids))})
    if tensors is None:
        return None
    replies = [None if isinstance(row, RecurError) else row.reply for row in results]
    tensors.arrays["step"] = np.array([reply.step if reply else -1 for reply in replies], np.int64)
    tensors.arrays["expires_at"] = np.array([_expiry(reply) for reply in replies], np.float64)
    tensors.arrays["replayed"] = np.array([isinstance(r, Feed) and r.replayed for r in results])
    return tensors


def _expiry(reply: StepReply | None) -> float:
    return np.nan if reply is None else reply.expires_at


def _options(tensors: Tensors, *known: str) -> _Options:
    for name in tensors.metadata:
        if name not in known:
            raise MalformedRequest(f"unknown field __metadata__.{name}", param=name)
    try:
        return msgspec.convert(tensors.metadata, _Options, strict=False)
    except msgspec.ValidationError as error:
        reason, _, path = str(error).partition(" - at `$.")
        raise _invalid(path.rstrip("`"), reason) from error


def _sequences(tensors: Tensors, *known: str) -> list[NDArray[Any]]:
    """`inputs`, cut by `lengths`. What stands in the sequences is the data plane's to judge."""
    for name in tensors.arrays:
        if name not in known:
            raise MalformedRequest(f"unknown tensor {name}", param=name)
    inputs = tensors.arrays.get("inputs")
    if inputs is None:
        raise MalformedRequest("missing tensor inputs", param="inputs")
    if inputs.ndim not in (1, 2) or inputs.dtype.kind not in "iuf":
        raise _invalid(
            "inputs",
            f"{inputs.dtype} of shape {list(inputs.shape)}; sequences are numbers "
            "[steps, features], token ids [steps] or samples [time]",
        )
    lengths = _whole_numbers(tensors, "lengths", None, least=0)
    if lengths is None:
        return [inputs]
    if sum(lengths) != len(inputs):
        raise _invalid("lengths", f"their sum is {sum(lengths)}, of {len(inputs)} steps")
    ends = np.cumsum([0, *lengths])
    return [inputs[begin:end] for begin, end in pairwise(ends)]


def _whole_numbers(
    tensors: Tensors, name: str, count: int | None, *, least: int
) -> list[int] | None:
    array = tensors.arrays.get(name)
    if array is None:
        return None
    if array.ndim != 1 or array.dtype.kind not in "iu" or count not in (None, len(array)):
        wanted = "" if count is None else f"{count} "
        raise _invalid(name, f"{array.dtype} of shape {list(array.shape)}, not {wanted}integers")
    numbers: list[int] = array.tolist()
    if numbers and min(numbers) < least:
        raise _invalid(name, f"{min(numbers)} is less than {least}")
    return numbers


def _answers(rows: Sequence[Prediction | RecurError], metadata: dict[str, str]) -> Tensors | None:
    """One row of each tensor for each sequence; None if the sequences' tensors are not alike."""
    answered = [row for row in rows if isinstance(row, Prediction)]
    columns = [_columns(row) for row in answered]
    if len({_form(row) for row in answered}) > 1:
        return None
    arrays = {name: _column([each[name] for each in columns], rows) for name in columns[0]}
    arrays["steps"] = np.array([row.steps if isinstance(row, Prediction) else 0 for row in rows])
    empty = {name: array[:0] for name, array in _ragged(answered[0]).items()}
    ragged = [_ragged(row) if isinstance(row, Prediction) else empty for row in rows]
    for name in empty:
        parts = [each[name] for each in ragged]
        arrays[name] = np.concatenate(parts)
        arrays[f"{name}.lengths"] = np.array([len(part) for part in parts])
    answer = answered[0].answer
    if (classes := _classes(answer)) is not None:
        metadata["labels"] = json.dumps(classes.labels)
    if isinstance(answer, Forecast) and answer.quantiles is not None:
        metadata["quantiles"] = json.dumps(answer.quantiles.shares)
    if isinstance(answer, Tagging):
        metadata["tags"] = json.dumps([_tags(row) for row in rows])
    if isinstance(answer, Transcript | Written):
        metadata["texts"] = json.dumps([_text(row) for row in rows])
    errors = {at: error_body(row) for at, row in enumerate(rows) if isinstance(row, RecurError)}
    if errors:
        metadata["errors"] = json.dumps(errors, default=str)
        arrays["failed"] = np.array([at in errors for at in range(len(rows))])
    return Tensors(arrays, metadata)


def _columns(row: Prediction) -> dict[str, NDArray[Any]]:
    """Of the same shape for every sequence of a model."""
    match row.answer:
        case Anomalies():
            return {}
        case Classification(probabilities=probabilities):
            return {"probabilities": probabilities}
        case Forecast(forecast=forecast, quantiles=quantiles):
            bands = {} if quantiles is None else {"quantiles": quantiles.values}
            return {"forecast": forecast, **bands}
        case Regression(value=value, values=None):
            return {"value": np.array(value)}
        case Regression():
            return {}
        case Likelihood(log_likelihood=log_likelihood, perplexity=perplexity):
            return {"log_likelihood": np.array(log_likelihood), "perplexity": np.array(perplexity)}
        case Tagging(intent=Classification(probabilities=probabilities)):
            return {"probabilities": probabilities}
        case Tagging():
            return {}
        case Transcript(score=score) | Written(score=score):
            return {"score": np.array(score)}


def _ragged(row: Prediction) -> dict[str, NDArray[Any]]:
    """As long as the sequence is, at least some of them."""
    ragged: dict[str, NDArray[Any]] = {
        f"outputs.{name}": np.atleast_1d(array) for name, array in (row.outputs or {}).items()
    }
    if isinstance(row.answer, Anomalies):
        ragged |= {"scores": row.answer.scores, "anomalies": row.answer.anomalies}
    if isinstance(row.answer, Regression) and row.answer.values is not None:
        ragged["values"] = row.answer.values
    if isinstance(row.answer, Likelihood):
        ragged["token_log_likelihoods"] = row.answer.token_log_likelihoods
    if isinstance(row.answer, Transcript):
        ragged["times"] = np.array(row.answer.times, np.float64)
    if isinstance(row.answer, Tagging):
        ragged["tag_probabilities"] = np.array(row.answer.tag_probabilities)
    if row.attention is not None:
        ragged["attention"] = row.attention.weights.T
    return ragged


def _classes(answer: Answer) -> Classification | None:
    """What is said of a sequence as one of some labels."""
    match answer:
        case Classification():
            return answer
        case Tagging():
            return answer.intent
        case _:
            return None


def _tags(row: Prediction | RecurError) -> list[str] | None:
    if isinstance(row, RecurError) or not isinstance(row.answer, Tagging):
        return None
    return row.answer.tags


def _text(row: Prediction | RecurError) -> str | None:
    if isinstance(row, RecurError) or not isinstance(row.answer, Transcript | Written):
        return None
    return row.answer.text


def _form(row: Prediction) -> tuple[object, ...]:
    """What answers must share to stand in one table: labels, columns, and what raw outputs are."""
    classes = _classes(row.answer)
    labels = None if classes is None else classes.labels
    columns = [(name, array.shape) for name, array in _columns(row).items()]
    ragged = [(name, array.shape[1:]) for name, array in _ragged(row).items()]
    return (labels, *columns, *ragged)


def _column(
    values: list[NDArray[Any]], rows: Sequence[Prediction | RecurError]
) -> NDArray[np.floating[Any]]:
    """One row for each sequence; NaN where it failed."""
    column = np.full((len(rows), *values[0].shape), np.nan, values[0].dtype)
    column[[isinstance(row, Prediction) for row in rows]] = values
    return column


def _invalid(name: str, reason: str) -> InvalidInput:
    return InvalidInput(f"{name}: {reason}", param=name)

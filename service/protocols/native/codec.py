"""JSON to the data plane's inputs. A sequence that cannot be read fails alone, where it stands."""

import re
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from service.dataplane.types import Chunk, GenerateRequest, OpenRequest, SequenceInput
from service.errors import InvalidInput, RecurError
from service.protocols.body import UNREADABLE, unreadable, validation_error
from service.protocols.native.pieces import LONG_BYTES, pieces
from service.protocols.native.schemas import (
    GenerateBody,
    OpenBody,
    PredictBody,
    StepBody,
    StepsBody,
)

_TEXT = msgspec.json.Decoder(str)
_IDS = msgspec.json.Decoder(list[int])
_ROWS = msgspec.json.Decoder(list[list[float]])
_TENSORS = (
    msgspec.json.Decoder(float),
    msgspec.json.Decoder(list[float]),
    _ROWS,
    msgspec.json.Decoder(list[list[list[float]]]),
    msgspec.json.Decoder(list[list[list[list[float]]]]),
)
"""By rank: a type that is known beforehand is read in one pass."""

_OPENING = re.compile(rb"(?:\[\s*)*")


class PredictAsk(msgspec.Struct, frozen=True):
    """What a request for predictions asks, in whichever form it came."""

    inputs: list[SequenceInput]
    raw: bool = False
    deadline_ms: float | None = None


class StepAsk(msgspec.Struct, frozen=True):
    """What a request for a session's step asks."""

    inputs: SequenceInput
    step: int | None = None
    raw: bool = False
    deadline_ms: float | None = None


class StepsAsk(msgspec.Struct, frozen=True):
    """What a request for many sessions' steps asks."""

    chunks: list[Chunk]
    deadline_ms: float | None = None


def read_predict(body: PredictBody) -> PredictAsk:
    inputs = [read_sequence(raw, f"inputs[{index}]") for index, raw in enumerate(body.inputs)]
    return PredictAsk(inputs, body.raw, body.deadline_ms)


def read_step(body: StepBody) -> StepAsk:
    return StepAsk(read_sequence(body.inputs, "inputs"), body.step, body.raw, body.deadline_ms)


def read_steps(body: StepsBody) -> StepsAsk:
    chunks = [
        Chunk(row.session_id, read_sequence(row.inputs, f"steps[{at}].inputs"), row.step, row.raw)
        for at, row in enumerate(body.steps)
    ]
    return StepsAsk(chunks, body.deadline_ms)


def read_sequence(raw: msgspec.Raw, param: str) -> SequenceInput:
    """Text, ids `[time]` or numbers `[time, features]`; or the error of why it is none of them."""
    try:
        return _sequence(raw, param)
    except InvalidInput as error:
        return error.kept()


def read_generate(body: GenerateBody) -> GenerateRequest:
    prompt = _ids(body.prompt, "prompt") if isinstance(body.prompt, list) else body.prompt
    stop = (body.stop,) if isinstance(body.stop, str) else tuple(body.stop or ())
    return GenerateRequest(
        prompt=prompt,
        max_tokens=body.max_tokens,
        temperature=body.temperature,
        top_k=body.top_k,
        top_p=body.top_p,
        repetition_penalty=body.repetition_penalty,
        seed=body.seed,
        stop=stop,
        n=body.n,
        logprobs=body.logprobs,
        stream=body.stream,
    )


def read_open(body: OpenBody) -> OpenRequest:
    initial_state = None
    if body.initial_state is not None:
        initial_state = {
            name: _tensor(raw, f"initial_state.{name}") for name, raw in body.initial_state.items()
        }
    return OpenRequest(
        session_id=body.session_id,
        ttl_seconds=body.ttl_seconds,
        initial_state=initial_state,
        fork_of=body.fork_of,
        metadata=body.metadata or {},
    )


def _sequence(raw: msgspec.Raw, param: str) -> str | NDArray[Any]:
    match _rank(raw):
        case 0:
            text = _decode(_TEXT, raw, param)
            if not text:
                raise _empty(param)
            return text
        case 1:
            ids = _in_pieces(raw, 1) if len(raw) > LONG_BYTES else None
            if ids is None:
                ids = _ids(_decode(_IDS, raw, param), param)
            if not ids.size:
                raise _empty(param)
            return ids
        case 2:
            rows = _in_pieces(raw, 2) if len(raw) > LONG_BYTES else None
            return _numbers(_decode(_ROWS, raw, param) if rows is None else rows, param)
        case rank:
            raise InvalidInput(
                f"{param}: {rank} nested lists; a sequence is text, a list of token ids, "
                "or a list of rows of numbers",
                param=param,
                details={"rank": rank, "max": 2},
            )


def _in_pieces(raw: msgspec.Raw, rank: int) -> NDArray[Any] | None:
    """A long sequence; None where something is wrong with it, which reading it whole will name."""
    decoder, dtype = (_IDS, np.int64) if rank == 1 else (_ROWS, np.float32)
    try:
        with np.errstate(over="ignore"):
            parts = [np.array(decoder.decode(piece), dtype) for piece in pieces(bytes(raw), rank)]
        return np.concatenate(parts)
    except (msgspec.DecodeError, ValueError, OverflowError):
        return None


def _ids(ids: list[int], param: str) -> NDArray[np.int64]:
    try:
        return np.array(ids, np.int64)
    except OverflowError:
        raise InvalidInput(f"{param}: a token id does not fit 64 bits", param=param) from None


def _tensor(raw: msgspec.Raw, param: str) -> NDArray[np.float32]:
    rank = _rank(raw)
    if rank >= len(_TENSORS):
        raise InvalidInput(
            f"{param}: {rank} nested lists",
            param=param,
            details={"rank": rank, "max": len(_TENSORS) - 1},
        )
    return _numbers(_decode(_TENSORS[rank], raw, param), param)


def _numbers(values: Any, param: str) -> NDArray[np.float32]:
    """Nested lists of floats as one array. Raises InvalidInput for a ragged or an empty one."""
    try:
        with np.errstate(over="ignore"):
            array = np.array(values, np.float32)
    except ValueError:
        raise _ragged(values, param) from None
    if not array.size:
        raise _empty(param)
    finite = np.isfinite(array)
    if not finite.all():  # JSON has no infinity: these were finite before they became float32
        place = "".join(f"[{index}]" for index in np.argwhere(~finite)[0])
        raise InvalidInput(
            f"{param}{place}: the number is too large for float32",
            param=param + place,
            details={"max": float(np.finfo(np.float32).max)},
        )
    return array


def _decode(decoder: msgspec.json.Decoder[Any], raw: msgspec.Raw, param: str) -> Any:
    try:
        return decoder.decode(raw)
    except msgspec.ValidationError as error:
        raise _not_a_sequence(validation_error(error, root=param)) from error
    except UNREADABLE as error:
        # The bytes are not JSON, so that nobody knows what else the body would have said.
        raise unreadable(error, param=param) from error


def _rank(raw: msgspec.Raw) -> int:
    """How many lists are open where the first value stands; a list in a list counts when empty."""
    opening = _OPENING.match(raw)
    assert opening is not None
    return opening[0].count(b"[")


def _not_a_sequence(error: RecurError) -> InvalidInput:
    hint = "; rows of numbers are lists, [[1.5], [2.5]]" if "got float" in error.message else ""
    return InvalidInput(error.message + hint, param=error.param, details=error.details)


def _empty(param: str) -> InvalidInput:
    return InvalidInput(f"{param}: it is empty", param=param, details={"min_length": 1})


def _ragged(values: Any, param: str) -> InvalidInput:
    """Names the first row that is not like the one before it."""
    lengths = [len(row) for row in values]
    for index, length in enumerate(lengths):
        if length != lengths[0]:
            return InvalidInput(
                f"{param}[{index}]: {length} numbers, where the first row has {lengths[0]}",
                param=f"{param}[{index}]",
                details={"expected": lengths[0], "got": length},
            )
    return InvalidInput(f"{param}: its lists are of different lengths", param=param)

"""JSON to the data plane's inputs. A sequence that cannot be read fails alone, where it stands."""

import re
from collections.abc import Iterator
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from service.dataplane.types import (
    DEFAULT_SEARCH,
    Chunk,
    GenerateRequest,
    OpenRequest,
    SearchRequest,
    SequenceInput,
)
from service.errors import InvalidInput, RecurError, TooLarge
from service.protocols.body import UNREADABLE, unreadable, validation_error
from service.protocols.native.pieces import LONG_BYTES, pieces
from service.protocols.native.schemas import (
    ForkBody,
    GenerateBody,
    OpenBody,
    PredictBody,
    SessionGenerateBody,
    StepBody,
    StepsBody,
)

_TEXT = msgspec.json.Decoder(str)
_PROMPT = msgspec.json.Decoder(str | list[int] | None)
_IDS = msgspec.json.Decoder(list[int])
_SAMPLES = msgspec.json.Decoder(list[float])
_ROWS = msgspec.json.Decoder(list[list[float]])
_TENSORS = (
    msgspec.json.Decoder(float),
    msgspec.json.Decoder(list[float]),
    _ROWS,
    msgspec.json.Decoder(list[list[list[float]]]),
    msgspec.json.Decoder(list[list[list[list[float]]]]),
)
"""By rank: a type that is known beforehand is read in one pass."""
_MAX_TENSOR_BYTES = 1 << 20
"""Of a state tensor in JSON: fifty thousand numbers and more, where a row's state has hundreds."""

_FRACTION = re.compile(rb"[.eE]")
"""What a number has that is not written as a whole one."""
_OPENING = re.compile(rb"(?:\[\s*)*")


class PredictAsk(msgspec.Struct, frozen=True):
    """What a request for predictions asks, in whichever form it came."""

    inputs: list[SequenceInput]
    raw: bool = False
    explain: bool = False
    deadline_ms: float | None = None
    search: SearchRequest = DEFAULT_SEARCH


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


class GenerateAsk(msgspec.Struct, frozen=True):
    """What a request for text asks, of a model or of a session at a `step`."""

    request: GenerateRequest
    step: int | None = None
    deadline_ms: float | None = None


def read_predict(body: PredictBody) -> PredictAsk:
    inputs = [read_sequence(raw, f"inputs[{index}]") for index, raw in enumerate(body.inputs)]
    search = SearchRequest(body.beam_width, body.length_penalty, body.max_tokens)
    return PredictAsk(inputs, body.raw, body.explain, body.deadline_ms, search)


def read_step(body: StepBody) -> StepAsk:
    return StepAsk(read_sequence(body.inputs, "inputs"), body.step, body.raw, body.deadline_ms)


def read_steps(body: StepsBody) -> StepsAsk:
    chunks = [
        Chunk(row.session_id, read_sequence(row.inputs, f"steps[{at}].inputs"), row.step, row.raw)
        for at, row in enumerate(body.steps)
    ]
    return StepsAsk(chunks, body.deadline_ms)


def read_sequence(raw: msgspec.Raw, param: str) -> SequenceInput:
    """Text, ids or samples `[time]`, or numbers `[time, features]`; or why it is none of them."""
    try:
        return _sequence(raw, param)
    except InvalidInput as error:
        return error.kept()


def read_generate(body: GenerateBody) -> GenerateAsk:
    stop = (body.stop,) if isinstance(body.stop, str) else tuple(body.stop or ())
    request = GenerateRequest(
        prompt=_prompt(body.prompt),
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
        beam_width=body.beam_width,
        length_penalty=body.length_penalty,
    )
    step = body.step if isinstance(body, SessionGenerateBody) else None
    return GenerateAsk(request, step, body.deadline_ms)


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


def read_fork(body: ForkBody) -> str | None:
    """The new session's id, if the client names one."""
    return body.session_id


def _sequence(raw: msgspec.Raw, param: str) -> str | NDArray[Any]:
    match _rank(raw):
        case 0:
            text = _decode(_TEXT, raw, param)
            if not text:
                raise _empty(param)
            return text
        case 1:
            flat = _flat(raw, param)
            if not flat.size:
                raise _empty(param)
            return flat
        case 2:
            return _rows(raw, param)
        case rank:
            raise InvalidInput(
                f"{param}: {rank} nested lists; a sequence is text, a list of token ids or of "
                "samples, or a list of rows of numbers",
                param=param,
                details={"rank": rank, "max": 2},
            )


def _prompt(raw: msgspec.Raw) -> str | NDArray[np.int64] | None:
    if _rank(raw) == 1 and len(raw) > LONG_BYTES:
        return _ids(raw, "prompt")
    try:
        prompt = _PROMPT.decode(raw)
    except msgspec.ValidationError as error:
        raise validation_error(error, root="prompt") from error
    except UNREADABLE as error:
        raise unreadable(error, param="prompt") from error
    return _id_array(prompt, "prompt") if isinstance(prompt, list) else prompt


def _flat(raw: msgspec.Raw, param: str) -> NDArray[Any]:
    """Token ids; or samples, which are no whole numbers."""
    try:
        return _ids(raw, param)
    except InvalidInput:
        if not _FRACTION.search(raw):
            raise
        return _samples(raw, param)


def _ids(raw: msgspec.Raw, param: str) -> NDArray[np.int64]:
    if len(raw) <= LONG_BYTES:
        return _id_array(_decode(_IDS, raw, param), param)
    parts = [_id_array(ids, param) for _, ids in _decoded_pieces(_IDS, raw, 1, param)]
    return np.concatenate(parts)


def _samples(raw: msgspec.Raw, param: str) -> NDArray[np.float32]:
    if len(raw) <= LONG_BYTES:
        return _numbers(_decode(_SAMPLES, raw, param), param)
    parts = [_float32(samples) for _, samples in _decoded_pieces(_SAMPLES, raw, 1, param)]
    return _checked(np.concatenate(parts), param)


def _id_array(ids: list[int], param: str) -> NDArray[np.int64]:
    try:
        return np.array(ids, np.int64)
    except OverflowError:
        raise InvalidInput(f"{param}: a token id does not fit 64 bits", param=param) from None


def _rows(raw: msgspec.Raw, param: str) -> NDArray[np.float32]:
    if len(raw) <= LONG_BYTES:
        return _numbers(_decode(_ROWS, raw, param), param)
    parts: list[NDArray[np.float32]] = []
    num_features: int | None = None
    for place, rows in _decoded_pieces(_ROWS, raw, 2, param):
        if num_features is None:
            num_features = len(rows[0])
        if {*map(len, rows)} != {num_features}:
            raise _ragged(rows, param, place=place, expected=num_features)
        parts.append(_float32(rows))
    return _checked(np.concatenate(parts), param)


def _tensor(raw: msgspec.Raw, param: str) -> NDArray[np.float32]:
    rank = _rank(raw)
    if rank >= len(_TENSORS):
        raise InvalidInput(
            f"{param}: {rank} nested lists",
            param=param,
            details={"rank": rank, "max": len(_TENSORS) - 1},
        )
    if len(raw) > _MAX_TENSOR_BYTES:
        raise TooLarge(
            f"{param}: {len(raw)} bytes; no more than {_MAX_TENSOR_BYTES} of a tensor are read",
            param=param,
            details={"limit": _MAX_TENSOR_BYTES},
        )
    return _numbers(_decode(_TENSORS[rank], raw, param), param)


def _numbers(values: Any, param: str) -> NDArray[np.float32]:
    """Nested lists of floats as one array. Raises InvalidInput for a ragged or an empty one."""
    try:
        return _checked(_float32(values), param)
    except ValueError:
        raise _ragged(values, param, expected=len(values[0])) from None


def _float32(values: Any) -> NDArray[np.float32]:
    with np.errstate(over="ignore"):  # what is too large is named later, with its place
        return np.array(values, np.float32)


def _checked(array: NDArray[np.float32], param: str) -> NDArray[np.float32]:
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


def _decoded_pieces(
    decoder: msgspec.json.Decoder[list[Any]], raw: msgspec.Raw, rank: int, param: str
) -> Iterator[tuple[int, list[Any]]]:
    try:
        yield from pieces(bytes(raw), rank, decoder)
    except msgspec.ValidationError as error:
        raise _not_a_sequence(validation_error(error, root=param)) from error


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


def _ragged(values: Any, param: str, *, expected: int, place: int = 0) -> InvalidInput:
    """Names the first of the rows, which begin at `place`, that is not as long as `expected`."""
    for index, row in enumerate(values, place):
        if len(row) != expected:
            return InvalidInput(
                f"{param}[{index}]: {len(row)} numbers, where the first row has {expected}",
                param=f"{param}[{index}]",
                details={"expected": expected, "got": len(row)},
            )
    return InvalidInput(f"{param}: its lists are of different lengths", param=param)

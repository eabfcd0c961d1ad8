"""Raw bytes to a checked value, or an error that names the field and the limit.

Nothing beyond the limit is ever held in memory. Wrong JSON, types and names are malformed (400);
a value of the right type that is out of range is invalid (422).
"""

import asyncio
import json
import math
import re
from collections.abc import Callable
from typing import Any, Generic, TypeVar, get_args

import msgspec

from service.dataplane.number import check_number, too_many
from service.errors import Cancelled, InvalidInput, MalformedRequest, RecurError, TooLarge
from service.protocols.exchange import Exchange
from service.protocols.skim import fields
from service.protocols.status import UnsupportedMediaType
from service.protocols.tensors import MEDIA_TYPE, Tensors, load
from service.protocols.unique import UniqueItems, check_unique, names_of, twice

A = TypeVar("A")
S = TypeVar("S", bound=msgspec.Struct)

JSON = "application/json"
_LONG_BYTES = 1 << 17
"""A body beyond it takes milliseconds to read."""
_MAX_ITEMS = 1024
"""Of a field of a long body, where no setting says."""
_TENSORS = MEDIA_TYPE.encode()

LIMIT_SETTING = "RECUR_MAX_BODY_BYTES"

_JSON_HEADERS = {
    b"",  # many clients name no type
    b"application/json",
    b"application/x-www-form-urlencoded",  # what `curl -d` says of any body
    b"text/plain",
}


_NON_FINITE = re.compile(rb"NaN|Infinity")
_MAX_SEARCHED_BYTES = 1 << 16
_MAX_REPEATED = 1000
"""Characters of an unknown name."""


class BodyTooLarge(TooLarge):
    """`unread`: the client is still writing, and the connection cannot be used again."""

    unread: bool = False


class BodyDecoder(Generic[S]):
    """Reads JSON objects of one shape. `empty` is what an empty body stands for, if anything.

    `sequences` is the field that has one item for each of the request's sequences, if one does.
    """

    def __init__(self, shape: type[S], *, empty: bytes = b"", sequences: str = "") -> None:
        self.shape = shape
        self.required = not empty
        self.sequences = sequences
        self._empty = empty
        self._decoder = msgspec.json.Decoder(shape)
        known = msgspec.structs.fields(shape)
        # What stays raw is skipped by the decoder, and read in pieces later.
        self._counted = [field.encode_name for field in known if not _is_raw(field.type)]
        self._name = names_of(shape)
        self._items = UniqueItems.of(shape, sequences)

    def decode(self, body: bytes, *, max_sequences: int) -> S:
        """Raises MalformedRequest, InvalidInput or TooLarge."""
        body = body or self._empty
        if not body:
            raise MalformedRequest("the body is empty; a JSON object is needed")
        is_long = len(body) > _LONG_BYTES
        if is_long:
            self._check_fields(body, max_sequences)
        try:
            value = self._decoder.decode(body)
        except msgspec.ValidationError as error:
            raise validation_error(error) from error
        except UNREADABLE as error:
            raise _not_finite(body) or unreadable(error) from error
        if self.sequences:
            check_number(len(getattr(value, self.sequences)), max_sequences, self.sequences)
        if not is_long:
            self._refuse_duplicates(body)
        if self._items is not None:
            self._items.check(body)
        return value

    def _check_fields(self, body: bytes, max_sequences: int) -> None:
        """Each field once, and none of so many items that to decode them would take long."""
        limits = dict.fromkeys(self._counted, _MAX_ITEMS)
        if self.sequences:
            limits[self.sequences] = max_sequences
        seen: set[str] = set()
        for name, number in fields(body, limits):
            if name in seen:
                raise twice(name)
            seen.add(name)
            if number > limits.get(name, number):
                if name == self.sequences:
                    raise too_many(f"over {max_sequences}", max_sequences, name)
                raise TooLarge(
                    f"{name}: over {_MAX_ITEMS} items", param=name, details={"limit": _MAX_ITEMS}
                )

    def _refuse_duplicates(self, body: bytes) -> None:
        """msgspec takes the last of two fields of one name.

        A scan for names seen twice is cheap, but finds inner objects too: only where it does,
        the exact check, which costs a second parse, has the last word.
        """
        names = self._name.findall(body)
        if len(names) == len(set(names)):
            return
        try:
            check_unique(body)
        except RecursionError as error:
            raise unreadable(error) from error


def validation_error(error: msgspec.ValidationError, *, root: str = "") -> RecurError:
    """The domain error of a wrong type, name or range, naming the field below `root`.

    msgspec tells these apart by its message only, e.g. "Expected `float` >= 0.0 - at `$.n`".
    """
    text = str(error).replace(" - at `key` in `$", " - at `$")
    reason, _, path = text.partition(" - at `$")
    reason = _shortened(reason)
    param = (root + path.rstrip("`").replace("[...]", "")).lstrip(".") or None
    if named := re.search(r"(?:unknown|required) field `([^`]+)", reason):
        param = f"{param}.{named[1]}" if param else named[1]
        kind = "unknown" if "unknown" in reason else "missing"
        return MalformedRequest(f"{kind} field {param}", param=param)
    where = param or "the body"
    if "out of range" in reason:
        return InvalidInput(f"{where}: the number is too large", param=param)
    details = _limit(reason)
    if details:
        return InvalidInput(f"{where}: {_sentence(reason)}", param=param, details=details)
    return MalformedRequest(f"{where}: {_sentence(reason)}", param=param)


def _not_finite(body: bytes) -> MalformedRequest | None:
    """The error of NaN and Infinity, which JSON lacks and some writers send; names the first.

    Costs a second, lenient parse: of small bodies only, and only where such a word stands.
    """
    if len(body) > _MAX_SEARCHED_BYTES or not _NON_FINITE.search(body):
        return None
    try:
        place = _place_of_non_finite(json.loads(body), "")
    except (ValueError, RecursionError):
        return None
    if place is None:
        return None
    param = place.lstrip(".")
    return MalformedRequest(
        f"{param}: NaN and Infinity are no JSON; send finite numbers", param=param
    )


def _place_of_non_finite(value: Any, place: str) -> str | None:
    match value:
        case float():
            return None if math.isfinite(value) else place
        case dict():
            inner = ((f"{place}.{name}", item) for name, item in value.items())
        case list():
            inner = ((f"{place}[{index}]", item) for index, item in enumerate(value))
        case _:
            return None
    found = (_place_of_non_finite(item, where) for where, item in inner)
    return next((where for where in found if where is not None), None)


def unreadable(error: Exception, *, param: str | None = None) -> MalformedRequest:
    """The error of bytes that are not JSON, or not JSON that anyone should send."""
    match error:
        case RecursionError():
            reason = "it is nested too deeply"
        case UnicodeDecodeError():
            reason = "it is not valid UTF-8"
        case _:
            reason = str(error).removeprefix("JSON is malformed: ")
    return MalformedRequest(f"the body is not readable JSON: {reason}", param=param)


async def read_body(exchange: Exchange, max_bytes: int) -> bytes:
    """The whole body. Raises Cancelled, and TooLarge as soon as it is known."""
    declared = exchange.headers.get(b"content-length", b"")
    if declared.isdigit() and int(declared) > max_bytes:
        raise _too_large(max_bytes, unread=True)
    chunks: list[bytes] = []
    size = 0
    while True:
        message = await exchange.receive()
        if message["type"] == "http.disconnect":
            raise Cancelled("the client left before its body was complete")
        chunk: bytes = message.get("body", b"")
        more: bool = message.get("more_body", False)
        size += len(chunk)
        if size > max_bytes:
            raise _too_large(max_bytes, unread=more)
        if not more and not chunks:
            return chunk
        chunks.append(chunk)
        if not more:
            return b"".join(chunks)


class Form(Generic[A]):
    """A body that comes in JSON, or in tensors where they are taken, and means the same in either.

    `of_json` and `of_tensors` raise MalformedRequest or InvalidInput. What is long is read in a
    thread, which reads in pieces and so lets others in between.
    """

    def __init__(
        self,
        decoder: BodyDecoder[S],
        of_json: Callable[[S], A],
        of_tensors: Callable[[Tensors], A] | None = None,
        *,
        tensors: str = "",
    ) -> None:
        """`tensors` says which, for the document."""
        self.decoder: BodyDecoder[Any] = decoder
        self.tensors = tensors
        self.media_types = (JSON,) if of_tensors is None else (JSON, MEDIA_TYPE)
        self._of_json: Callable[[Any], A] = of_json
        self._of_tensors = of_tensors

    async def read_json(self, body: bytes, *, max_sequences: int) -> A:
        if len(body) <= _LONG_BYTES:
            return self._read_json(body, max_sequences)
        return await asyncio.to_thread(self._read_json, body, max_sequences)

    async def read_tensors(self, body: bytes, *, max_sequences: int) -> A:
        if len(body) <= _LONG_BYTES:
            return self._read_tensors(body, max_sequences)
        return await asyncio.to_thread(self._read_tensors, body, max_sequences)

    def comes_in_tensors(self, exchange: Exchange) -> bool:
        """Whether the body says so, and may."""
        says = exchange.headers.get(b"content-type", b"").startswith(_TENSORS)
        return says and self._of_tensors is not None

    def _read_json(self, body: bytes, max_sequences: int) -> A:
        return self._of_json(self.decoder.decode(body, max_sequences=max_sequences))

    def _read_tensors(self, body: bytes, max_sequences: int) -> A:
        assert self._of_tensors is not None, "only then a body may come in tensors"
        tensors = load(body)
        lengths = tensors.arrays.get("lengths")
        if lengths is not None:
            check_number(lengths.size, max_sequences, self.decoder.sequences or "lengths")
        return self._of_tensors(tensors)


def _shortened(text: str) -> str:
    """As much of what a client sent as is worth repeating."""
    return text if len(text) <= _MAX_REPEATED else f"{text[:_MAX_REPEATED]}..."


def _is_raw(kind: Any) -> bool:
    return kind is msgspec.Raw or msgspec.Raw in get_args(kind)


def check_json(exchange: Exchange, *, accepted: tuple[str, ...] = (JSON,)) -> None:
    """Raises UnsupportedMediaType for a body that says it is not JSON, or that it is compressed."""
    if exchange.headers.get(b"content-type", b"") not in _JSON_HEADERS:
        media_type = exchange.header(b"content-type").partition(";")[0].strip().lower()
        if media_type.encode() not in _JSON_HEADERS and not media_type.endswith("+json"):
            raise UnsupportedMediaType(
                f"the body is {media_type!r}; what is read is {' or '.join(accepted)}",
                param="Content-Type",
                details={"sent": media_type, "accepted": accepted},
            )
    check_identity(exchange)


def check_identity(exchange: Exchange) -> None:
    """Raises UnsupportedMediaType for a body that says that it is compressed."""
    encoding = exchange.header(b"content-encoding").strip().lower()
    if encoding not in ("identity", ""):
        raise UnsupportedMediaType(
            f"the body is encoded as {encoding!r}; only identity is read",
            param="Content-Encoding",
            details={"sent": encoding, "accepted": ["identity"]},
        )


UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)

_LIMIT = re.compile(r"Expected `.+?` (?P<length>of length )?(?P<sign>>=|<=|>|<) (?P<limit>\S+)")
_PATTERN = re.compile(r"Expected `.+?` matching regex '(?P<pattern>.+)'")
_BOUNDS = {">=": "min", "<=": "max", ">": "exclusive_min", "<": "exclusive_max"}


def _limit(reason: str) -> dict[str, Any]:
    """The limit in msgspec's message, as a program would want it; empty if there is none."""
    if match := _LIMIT.match(reason):
        bound = _BOUNDS[match["sign"]] + ("_length" if match["length"] else "")
        return {bound: json.loads(match["limit"])}
    if match := _PATTERN.match(reason):
        return {"pattern": match["pattern"]}
    return {}


def _sentence(reason: str) -> str:
    plain = reason.replace("`", "")
    return plain[:1].lower() + plain[1:]


def _too_large(max_bytes: int, *, unread: bool) -> BodyTooLarge:
    error = BodyTooLarge(
        f"the body is over the limit of {max_bytes} bytes ({LIMIT_SETTING})",
        details={"limit": max_bytes, "setting": LIMIT_SETTING},
    )
    error.unread = unread
    return error

"""Raw bytes to a checked value, or an error that names the field and the limit.

Nothing beyond the limit is ever held in memory. Wrong JSON, types and names are malformed (400);
a value of the right type that is out of range is invalid (422).
"""

import asyncio
import json
import math
import re
from collections.abc import Callable
from typing import Any, Generic, TypeVar

import msgspec

from service.errors import Cancelled, InvalidInput, MalformedRequest, RecurError, TooLarge
from service.protocols.exchange import Exchange
from service.protocols.status import UnsupportedMediaType
from service.protocols.tensors import MEDIA_TYPE

A = TypeVar("A")
S = TypeVar("S", bound=msgspec.Struct)

JSON = "application/json"
_LONG_BYTES = 1 << 17
"""A body beyond it takes milliseconds to read."""
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


class BodyTooLarge(TooLarge):
    """`unread`: the client is still writing, and the connection cannot be used again."""

    unread: bool = False


class BodyDecoder(Generic[S]):
    """Reads JSON objects of one shape. `empty` is what an empty body stands for, if anything."""

    def __init__(self, shape: type[S], *, empty: bytes = b"") -> None:
        self.shape = shape
        self.required = not empty
        self._empty = empty
        self._decoder = msgspec.json.Decoder(shape)
        names = "|".join(re.escape(field.encode_name) for field in msgspec.structs.fields(shape))
        self._name = re.compile(rf'"({names})"\s*:'.encode())

    def decode(self, body: bytes) -> S:
        """Raises MalformedRequest or InvalidInput."""
        body = body or self._empty
        if not body:
            raise MalformedRequest("the body is empty; a JSON object is needed")
        try:
            value = self._decoder.decode(body)
        except msgspec.ValidationError as error:
            raise validation_error(error) from error
        except UNREADABLE as error:
            raise _not_finite(body) or unreadable(error) from error
        self._refuse_duplicates(body)
        return value

    def _refuse_duplicates(self, body: bytes) -> None:
        """msgspec takes the last of two fields of one name.

        A scan for names seen twice is cheap, but finds inner objects too: only where it does,
        the exact check, which costs a second parse, has the last word.
        """
        names = self._name.findall(body)
        if len(names) == len(set(names)):
            return
        try:
            json.loads(body, object_pairs_hook=_unique_names)
        except RecursionError as error:
            raise unreadable(error) from error


def validation_error(error: msgspec.ValidationError, *, root: str = "") -> RecurError:
    """The domain error of a wrong type, name or range, naming the field below `root`.

    msgspec tells these apart by its message only, e.g. "Expected `float` >= 0.0 - at `$.n`".
    """
    reason, _, path = str(error).partition(" - at `$")
    param = (root + path.rstrip("`").replace("[...]", "")).lstrip(".") or None
    if named := re.search(r"(?:unknown|required) field `(.+)`", reason):
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
    """A body that comes in JSON or in tensors, and means the same in either.

    `of_json` and `of_tensors` raise MalformedRequest or InvalidInput.
    """

    def __init__(
        self,
        decoder: BodyDecoder[S],
        of_json: Callable[[S], A],
        of_tensors: Callable[[bytes], A],
        *,
        tensors: str,
    ) -> None:
        self.decoder: BodyDecoder[Any] = decoder
        self.of_json: Callable[[Any], A] = of_json
        self.of_tensors = of_tensors
        self.tensors = tensors
        """Which tensors, for the document."""

    async def read_json(self, body: bytes) -> A:
        return await _decode(self._read_json, body)

    async def read_tensors(self, body: bytes) -> A:
        return await _decode(self.of_tensors, body)

    def _read_json(self, body: bytes) -> A:
        return self.of_json(self.decoder.decode(body))


async def read_json(decoder: BodyDecoder[S], body: bytes) -> S:
    return await _decode(decoder.decode, body)


async def _decode(decode: Callable[[bytes], A], body: bytes) -> A:
    """In a thread where it takes long: decoders read in pieces, and let others in between."""
    if len(body) <= _LONG_BYTES:
        return decode(body)
    return await asyncio.to_thread(decode, body)


def is_tensors(exchange: Exchange) -> bool:
    """Whether the body says that it is tensors."""
    return exchange.headers.get(b"content-type", b"").startswith(_TENSORS)


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


def _unique_names(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise MalformedRequest(f"the field {twice} is there twice", param=twice)
    return value

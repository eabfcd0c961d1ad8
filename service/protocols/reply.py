"""Values to JSON replies. A float32 is printed with the digits that read back as itself."""

import asyncio
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from typing import Any, Protocol

import msgspec
import numpy as np
import orjson
from numpy.typing import NDArray

from service.errors import RecurError
from service.protocols.exchange import Exchange
from service.protocols.status import error_body, error_headers, status_of
from service.protocols.tensors import MEDIA_TYPE, Tensors, dump

LINGER_SECONDS = 2.0
_PIECE_ITEMS = 10_000
"""Numbers or texts that are written in a millisecond or less."""

_OPTIONS = orjson.OPT_SERIALIZE_NUMPY

Headers = tuple[tuple[bytes, bytes], ...]

JSON = "application/json"
_JSON_TYPE = (b"content-type", JSON.encode())
_TENSORS = MEDIA_TYPE.encode()
_TENSORS_TYPE = (b"content-type", _TENSORS)


class Answer(Protocol):
    """What an operation gives back: something that writes itself."""

    async def write(self, exchange: Exchange) -> None:
        """Raises RecurError only before the first byte."""
        ...


class Reply(msgspec.Struct, frozen=True):
    """An answer that is whole before it is written."""

    body: bytes
    status: int = 200
    headers: Headers = (_JSON_TYPE,)

    async def write(self, exchange: Exchange) -> None:
        length = (b"content-length", b"%d" % len(self.body))
        await exchange.begin(self.status, [*self.headers, length])
        await exchange.write(self.body)


class LastReply(msgspec.Struct, frozen=True):
    """An answer given while the client still writes; the connection closes behind it.

    Closing at once would reset the connection, and the client's system would throw away the answer
    that it had not read yet. So what still comes is read and dropped, for a moment.
    """

    reply: Reply

    async def write(self, exchange: Exchange) -> None:
        reply = self.reply
        length = (b"content-length", b"%d" % len(reply.body))
        close = (b"connection", b"close")
        await exchange.begin(reply.status, [*reply.headers, length, close])
        await exchange.write(reply.body, more=True)
        with suppress(TimeoutError):
            async with asyncio.timeout(LINGER_SECONDS):
                while (await exchange.receive()).get("more_body", False):
                    continue
        await exchange.write(b"")


def to_json(content: Any) -> bytes:
    """One line of JSON; NaN and infinity, which JSON lacks, become null."""
    return orjson.dumps(content, default=_default, option=_OPTIONS)


def to_json_in_pieces(content: Any) -> bytes:
    """As `to_json`, for a thread: a writer keeps the interpreter to itself until it is done, so
    that what is long is written in several goes, and others get their turn in between.
    """
    return b"".join(_pieces(content))


def json_reply(
    content: Any,
    *,
    status: int = 200,
    headers: Headers = (),
    to_json: Callable[[Any], bytes] = to_json,
) -> Reply:
    return Reply(to_json(content), status, (_JSON_TYPE, *headers))


def wants_tensors(exchange: Exchange) -> bool:
    """Whether the client asks for its answer in tensors."""
    return _TENSORS in exchange.headers.get(b"accept", b"")


def tensors_reply(tensors: Tensors, *, headers: Headers = ()) -> Reply:
    return Reply(dump(tensors), headers=(_TENSORS_TYPE, *headers))


def error_reply(error: RecurError) -> Reply:
    named = error_headers(error).items()
    headers = tuple((name.lower().encode(), value.encode("latin-1")) for name, value in named)
    return json_reply(error_body(error), status=status_of(error), headers=headers)


def _pieces(value: Any) -> Iterator[bytes]:
    match value:
        case dict():
            yield b"{"
            for place, (name, part) in enumerate(value.items()):
                yield b"%b%b:" % (b"," if place else b"", to_json(name))
                yield from _pieces(part)
            yield b"}"
        case [dict(), *_]:
            yield from _list_in_pieces(map(_pieces, value))
        case np.ndarray() if value.size > _PIECE_ITEMS:
            yield from _array_in_pieces(value)
        case list() if len(value) > _PIECE_ITEMS:
            yield from _list_in_pieces(_cuts(value, _PIECE_ITEMS))
        case _:
            yield to_json(value)


def _array_in_pieces(array: NDArray[Any]) -> Iterator[bytes]:
    row_size = array[0].size
    if row_size > _PIECE_ITEMS:
        return _list_in_pieces(map(_array_in_pieces, array))
    return _list_in_pieces(_cuts(array, _PIECE_ITEMS // row_size))


def _list_in_pieces(parts: Iterable[Iterable[bytes]]) -> Iterator[bytes]:
    yield b"["
    for place, part in enumerate(parts):
        if place:
            yield b","
        yield from part
    yield b"]"


def _cuts(values: Any, length: int) -> Iterator[tuple[bytes]]:
    """The items of a list or an array, so many at a time, without their brackets."""
    for at in range(0, len(values), length):
        yield (to_json(values[at : at + length])[1:-1],)


def _default(value: Any) -> Any:
    """orjson hands over arrays that are not contiguous, and the odd thing in an error's details."""
    if isinstance(value, np.ndarray):
        return np.ascontiguousarray(value) if value.ndim else value.item()
    return str(value)

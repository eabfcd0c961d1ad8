"""A long list in JSON, read as shorter ones: between two of them other threads get their turn.

A decoder keeps the interpreter to itself until it is done, however long its input.
"""

import re
from collections.abc import Iterator
from typing import Any

import msgspec

LONG_BYTES = 1 << 17
_PIECE_BYTES = 1 << 16

_CUTS = {1: re.compile(rb","), 2: re.compile(rb"\]\s*,")}
"""By rank, what stands between two items; numbers hold neither brackets nor commas."""
_FIRST_PLACE = re.compile(r"(?<= - at `\$\[)\d+")


def pieces(
    raw: bytes, rank: int, decoder: msgspec.json.Decoder[list[Any]]
) -> Iterator[tuple[int, list[Any]]]:
    """The items of a JSON list in several lists, each with the place of its first one.

    `decoder` takes numbers, or lists of them, by `rank`. Raises its ValidationError, with places
    in the whole list.
    """
    cut, place, at = _CUTS[rank], 0, raw.index(b"[") + 1
    while at < len(raw):
        found = cut.search(raw, at + _PIECE_BYTES)
        end = len(raw) if found is None else found.end()
        piece = raw[at:] if found is None else raw[at : end - 1] + b"]"
        try:
            items = _decode(decoder, piece, place)
        except msgspec.ValidationError:
            raise
        except msgspec.DecodeError:
            # It was cut amid a text, of which the list should have none: uncut, that is named.
            items = _decode(decoder, raw[at:], place)
        yield place, items
        place += len(items)
        at = end


def _decode(decoder: msgspec.json.Decoder[list[Any]], rest: bytes, place: int) -> list[Any]:
    try:
        return decoder.decode(b"[" + rest)
    except msgspec.ValidationError as error:
        shifted = _FIRST_PLACE.sub(lambda found: str(int(found[0]) + place), str(error))
        raise msgspec.ValidationError(shifted) from None

"""A long list in JSON, cut into shorter ones: between two of them other threads get their turn.

A decoder keeps the interpreter to itself until it is done, however long its input.
"""

import re
from collections.abc import Iterator

LONG_BYTES = 1 << 17
_PIECE_BYTES = 1 << 16

_CUTS = {1: re.compile(rb","), 2: re.compile(rb"\]\s*,")}
"""By rank, what stands between two items; numbers hold neither brackets nor commas."""


def pieces(raw: bytes, rank: int) -> Iterator[bytes]:
    """Lists that together hold the items of `raw`: JSON, a list of numbers or of lists of them.

    Where it is anything else, some piece is not what it should be.
    """
    cut = _CUTS[rank]
    start = raw.index(b"[") + 1
    while (found := cut.search(raw, start + _PIECE_BYTES)) is not None:
        yield b"[" + raw[start : found.end() - 1] + b"]"
        start = found.end()
    yield b"[" + raw[start:]

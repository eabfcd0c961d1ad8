"""A look over a long JSON object before it is decoded: which fields it has, and of how many items.

A decoder keeps the interpreter to itself until it is done, and takes longest for many small
things. This goes in short strides, and stops counting where there are too many. What is no JSON
is the decoder's to name: it stops where this one lost its way.
"""

import json
import re
from collections.abc import Iterator, Mapping

from service.errors import MalformedRequest

_STRIDE_BYTES = 1 << 16
MAX_DEPTH = 8
"""No item of a field has more than four."""

_STRING = rb'"(?:[^"\\]++|\\.)*+"'
_WITHIN = rb'[^"\[\]{}]++|' + _STRING
_BETWEEN_COMMAS = rb'[^"\[\]{},]++|' + _STRING


def _runs_of(simple: bytes, *, depth: int) -> bytes:
    """Matches what is `simple`, lists and objects of that depth, and as many of them as come."""
    if not depth:
        return rb"(?:%b)*+" % simple
    return rb"(?:%b|[\[{]%b[\]}])*+" % (simple, _runs_of(_WITHIN, depth=depth - 1))


_INNER = re.compile(_runs_of(_WITHIN, depth=MAX_DEPTH), re.DOTALL)
_ITEM = re.compile(_runs_of(_BETWEEN_COMMAS, depth=MAX_DEPTH), re.DOTALL)
_REST_OF_STRING = re.compile(rb'(?:[^"\\]++|\\.)*+', re.DOTALL)
_NAME = re.compile(_STRING, re.DOTALL)
_SPACE = re.compile(rb"[ \t\r\n]*+")


def fields(
    body: bytes, limits: Mapping[str, int], *, stride: int = _STRIDE_BYTES
) -> Iterator[tuple[str, int]]:
    """Each field of the object, in order, and how many items stand in it.

    Only those that `limits` names are counted, and only to one beyond their limit: whoever hears
    of that one asks for no more.
    """
    skim = _Skim(body, stride)
    skim.pass_space()
    while skim.pass_one(b"{,"):
        name = skim.name()
        if name is None:
            return
        number = 0
        if name in limits and skim.stands_at(b"[{"):
            while number <= limits[name] and skim.pass_one(b"[{,"):
                number += 1
                skim.pass_item()
            skim.pass_one(b"]}")
        yield name, number
        skim.pass_item()


class _Skim:
    """A place in a body, that moves on."""

    def __init__(self, body: bytes, stride: int) -> None:
        self._body = body
        self._stride = stride
        self._at = 0

    def stands_at(self, characters: bytes) -> bool:
        here = self._here()
        return bool(here) and here in characters

    def pass_one(self, characters: bytes) -> bool:
        """Whether one of them stood here; then it is behind."""
        stood = self.stands_at(characters)
        self._at += stood
        return stood

    def pass_space(self) -> None:
        while self._pass(_SPACE):
            continue

    def name(self) -> str | None:
        """The name of a field; then its value is next. None if there is no name that fits here."""
        self.pass_space()
        named = _NAME.match(self._body, self._at, self._at + self._stride)
        if named is None:
            return None
        self._at = named.end()
        self.pass_space()
        if not self.pass_one(b":"):
            return None
        self.pass_space()
        return _text(named[0])

    def pass_item(self) -> None:
        """To the comma or the bracket that ends what begins here; or to the end, if none does."""
        depth = 0
        while here := self._skip(_INNER if depth else _ITEM):
            if here == b'"':
                self._pass_string()
            elif here in b"[{":
                depth += 1
                self._at += 1
            elif here in b"]}" and depth:
                depth -= 1
                self._at += 1
            elif here in b"]}" or (here == b"," and not depth):
                return
            if depth > MAX_DEPTH:
                raise MalformedRequest("the body is not readable JSON: it is nested too deeply")

    def _pass_string(self) -> None:
        self._at += 1
        while here := self._here():
            if here == b'"':
                self._at += 1
                return
            if not self._pass(_REST_OF_STRING):
                self._at += 2  # an escape that is longer than a stride

    def _skip(self, pattern: re.Pattern[bytes]) -> bytes:
        """What stands behind it, or where the stride ends."""
        self._pass(pattern)
        return self._here()

    def _pass(self, pattern: re.Pattern[bytes]) -> bool:
        """As much of it as a stride holds; whether that is anything."""
        matched = pattern.match(self._body, self._at, self._at + self._stride)
        assert matched is not None, "it matches nothing at all, if need be"
        self._at = matched.end()
        return matched.end() > matched.start()

    def _here(self) -> bytes:
        return self._body[self._at : self._at + 1]


def _text(string: bytes) -> str | None:
    try:
        return json.loads(string)
    except ValueError:
        return None

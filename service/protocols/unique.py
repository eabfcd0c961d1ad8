"""A field that is in a JSON object twice is refused: decoders take the last, and say nothing."""

import json
import re
from typing import Annotated, Any, Self, get_args, get_origin

import msgspec

from service.errors import MalformedRequest
from service.protocols.skim import fields


def check_unique(text: bytes) -> None:
    """Of all objects in `text`, which is JSON. Raises MalformedRequest; and RecursionError."""
    json.loads(text, object_pairs_hook=_unique_names)


def twice(name: str) -> MalformedRequest:
    return MalformedRequest(f"the field {name} is there twice", param=name)


def names_of(shape: type[msgspec.Struct]) -> re.Pattern[bytes]:
    """Finds the names of its fields, wherever they stand in JSON."""
    known = msgspec.structs.fields(shape)
    names = "|".join(re.escape(field.encode_name) for field in known)
    return re.compile(rf'"({names})"\s*:'.encode())


class UniqueItems:
    """The objects of one list in a body, each with its own fields."""

    def __init__(self, name: str, item: type[msgspec.Struct]) -> None:
        self._name = name
        self._names = names_of(item)
        cut = msgspec.defstruct("Cut", [("items", list[msgspec.Raw])], rename={"items": name})
        self._cut: msgspec.json.Decoder[Any] = msgspec.json.Decoder(cut)

    @classmethod
    def of(cls, shape: type[msgspec.Struct], name: str) -> Self | None:
        """None, where the field of that name has no objects."""
        known = {field.encode_name: field.type for field in msgspec.structs.fields(shape)}
        kind = known.get(name)
        if get_origin(kind) is Annotated:
            kind = get_args(kind)[0]
        items = get_args(kind)
        if items and isinstance(items[0], type) and issubclass(items[0], msgspec.Struct):
            return cls(name, items[0])
        return None

    def check(self, body: bytes) -> None:
        """`body` has been decoded. Raises MalformedRequest, which names the item and the field."""
        for place, item in enumerate(self._cut.decode(body).items):
            names = self._names.findall(item)
            if len(names) > len(set(names)):
                _check_fields(bytes(item), f"{self._name}[{place}]")


def _check_fields(item: bytes, place: str) -> None:
    """In strides, for it may be long; what was found may stand in a text."""
    seen: set[str] = set()
    for name, _ in fields(item, {}):
        if name in seen:
            raise twice(f"{place}.{name}")
        seen.add(name)


def _unique_names(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) < len(pairs):
        names = [name for name, _ in pairs]
        raise twice(next(name for name in names if names.count(name) > 1))
    return value

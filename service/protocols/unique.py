"""A field that is in a JSON object twice is refused: decoders take the last, and say nothing."""

import json
from typing import Any

from service.errors import MalformedRequest


def check_unique(text: bytes) -> None:
    """Of all objects in `text`, which is JSON. Raises MalformedRequest; and RecursionError."""
    json.loads(text, object_pairs_hook=_unique_names)


def twice(name: str) -> MalformedRequest:
    return MalformedRequest(f"the field {name} is there twice", param=name)


def _unique_names(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) < len(pairs):
        names = [name for name, _ in pairs]
        raise twice(next(name for name in names if names.count(name) > 1))
    return value

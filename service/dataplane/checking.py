"""Whether a number that a request asks for is allowed, and which one holds where it asks none."""

from typing import TypeVar

from service.errors import InvalidInput

T = TypeVar("T")


def pick(value: T | None, default: T) -> T:
    return default if value is None else value


def check(name: str, value: float, low: float, high: float, *, setting: str = "") -> None:
    """Raises InvalidInput. `setting` is the one that the upper limit comes from, if one does."""
    if not low <= value <= high:
        raise InvalidInput(
            f"{name} is {value}; it must be in {low}..{high}" + (setting and f" ({setting})"),
            param=name,
            details={"min": low, "max": high},
        )

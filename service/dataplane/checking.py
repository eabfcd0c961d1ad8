"""Whether a number that a request asks for is allowed, and which one holds where it asks none."""

from typing import TypeVar

from service.dataplane.types import DataPlaneLimits
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


def pick_max_tokens(value: int | None, default: int, limits: DataPlaneLimits) -> int:
    """What a request asks for, or the model's default as far as it is allowed."""
    max_tokens = pick(value, min(default, limits.max_tokens))
    check("max_tokens", max_tokens, 1, limits.max_tokens, setting="RECUR_MAX_TOKENS")
    return max_tokens

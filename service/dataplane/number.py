"""How many sequences one request may have: said once, for whoever is the first to count them."""

from service.errors import TooLarge


def check_number(number: int, limit: int, param: str) -> None:
    """Raises TooLarge, which names `param` and the limit."""
    if number > limit:
        raise too_many(str(number), limit, param)


def too_many(number: str, limit: int, param: str) -> TooLarge:
    """`number` as far as it was counted."""
    return TooLarge(
        f"{number} sequences; RECUR_MAX_SEQUENCES allows {limit}",
        param=param,
        details={"limit": limit},
    )

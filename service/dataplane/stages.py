"""Work on many things at once, stage after stage, of which any may fail and the others go on."""

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from service.errors import RecurError

A = TypeVar("A")
B = TypeVar("B")


async def of_those_left(
    results: Sequence[A | RecurError],
    work: Callable[[list[A]], Awaitable[Sequence[B | RecurError]]],
) -> list[B | RecurError]:
    """What `work` makes of those that have not failed, each in its place."""
    left = [one for one in results if not isinstance(one, RecurError)]
    made = iter(await work(left) if left else [])
    return [one if isinstance(one, RecurError) else next(made) for one in results]

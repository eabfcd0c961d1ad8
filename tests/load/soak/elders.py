"""Sessions as old as the soak: fed now and then, and checked in one piece at its end."""

from tests.load.soak import sessions
from tests.load.soak.expected import Model
from tests.load.soak.scenes import World
from tests.load.soak.sessions import Branch

_EACH = 4
"""Of one client."""
_TTL_SECONDS = 7200


class Elders:
    """One client's."""

    def __init__(self) -> None:
        self._all: list[tuple[Model, Branch]] = []

    async def visit(self, world: World) -> None:
        """One more of them, as long as there are few; then one of them goes on."""
        if len(self._all) < _EACH:
            model = world.pick(causal=True)
            branch = await sessions.open_branch(world, model, ttl_seconds=_TTL_SECONDS)
            self._all.append((model, branch))
        model, branch = self._all[world.rng.integers(len(self._all))]
        act = sessions.retry if world.chance(0.2) else sessions.step
        await act(world, model, branch)

    async def settle(self, world: World) -> None:
        """All that they said, from their first step on."""
        for model, branch in self._all:
            await sessions.settle(world, model, branch)

"""A finished graph written again, with other nodes in the place of some."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from training.export.draft import Draft
from training.export.lowering.finished import Finished, identity


class LoweringError(Exception):
    """The graph holds a layer that no other can stand in for."""


@dataclass(frozen=True, slots=True)
class StandIn:
    """What takes the place of some nodes, and makes all that others read of them."""

    nodes: tuple[str, ...]
    """By `identity`, in the order of the graph."""
    add: Callable[[], object]


def rewrite(graph: Finished, draft: Draft, stand_ins: Iterable[StandIn]) -> None:
    """Copy the nodes into `draft`; a stand-in goes where the last of its nodes was."""
    gone: set[str] = set()
    additions: dict[str, Callable[[], object]] = {}
    for stand_in in stand_ins:
        gone.update(stand_in.nodes)
        additions[stand_in.nodes[-1]] = stand_in.add
    for node in graph.nodes:
        name = identity(node)
        if name in additions:
            additions[name]()
        elif name not in gone:
            draft.copy(node)

"""Path to operation, without a router: a look at how the path ends, and one at how it begins."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from service.protocols.exchange import Exchange
from service.protocols.operation import Operation

_TEMPLATE = re.compile(r"(?P<start>[^{}]*)(?:{(?P<name>\w+)}(?P<end>(?:/[^{}/]*)?))?")


class Switch:
    """Knows operations whose path holds one name at most, followed by one segment at most."""

    def __init__(self, operations: Iterable[Operation]) -> None:
        self._exact: dict[tuple[str, str], Operation] = {}
        self._named: dict[tuple[str, str], list[_Named]] = {}
        """By method and by how the path ends: in a segment, or, empty, in the name."""
        for operation in operations:
            template = _TEMPLATE.fullmatch(operation.path)
            assert template is not None, "no other paths are known here"
            start, name, end = template.groups()
            methods = ("GET", "HEAD") if operation.method == "GET" else (operation.method,)
            for method in methods:
                if name is None:
                    self._exact[method, operation.path] = operation
                else:
                    known = self._named.setdefault((method, end), [])
                    known.append(_Named(operation, start, name))

    def find(self, exchange: Exchange) -> Operation | None:
        """The operation, with what stands in the path noted; None is the framework's to answer."""
        method, path = exchange.method, exchange.path
        operation = self._exact.get((method, path))
        if operation is not None:
            return operation
        for end in (path[path.rfind("/") :], ""):
            for named in self._named.get((method, end), ()):
                value = path[len(named.start) : len(path) - len(end)]
                if path.startswith(named.start) and value and "/" not in value:
                    exchange.params = {named.name: value}
                    return named.operation
        return None


@dataclass(frozen=True, slots=True)
class _Named:
    operation: Operation
    start: str
    name: str

"""What a front process and the engine's process say to each other, over a socket of their own.

Tuples and structs, pickled: both ends are the same program, started by each other, and nobody else
holds an end of the socket.
"""

import pickle
from io import BytesIO
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from service.dataplane.types import ModelInfo
from service.errors import RecurError


class Ask(NamedTuple):
    """A front wants a verb of the data plane done."""

    number: int
    verb: str
    args: tuple[Any, ...]
    named: dict[str, Any]


class Cancel(NamedTuple):
    """Nobody waits for it any more. Means nothing if it has ended meanwhile."""

    number: int


class Taken(NamedTuple):
    """A stream's reader has taken so many lists of events: as many more may come."""

    number: int
    num_lists: int


class Seen(NamedTuple):
    """A request was answered."""

    protocol: str
    model: str
    outcome: str
    seconds: float


class Result(NamedTuple):
    number: int
    value: Any


class Failure(NamedTuple):
    """Ends an ask or a stream."""

    number: int
    error: RecurError


class Events(NamedTuple):
    """What a stream has ready; an empty list is its end."""

    number: int
    events: list[Any]


class Status(NamedTuple):
    """How the service stands; sent whenever that changes."""

    state: str
    readiness: dict[str, str]
    models: list[ModelInfo]
    """The current version of every served model."""


class Stop(NamedTuple):
    """Finish what is being written, and end."""


Message = Ask | Cancel | Taken | Seen | Result | Failure | Events | Status | Stop


class _Pickler(pickle.Pickler):
    """An array as its bytes: NumPy's own way costs twice as much for a small one."""

    def reducer_override(self, value: Any) -> Any:
        if type(value) is np.ndarray and not value.dtype.hasobject:
            return _array, (value.tobytes(), value.dtype.str, value.shape)
        return NotImplemented


def dumps(messages: list[Message]) -> bytes:
    buffer = BytesIO()
    _Pickler(buffer, pickle.HIGHEST_PROTOCOL).dump(messages)
    return buffer.getvalue()


def loads(data: bytes) -> list[Message]:
    return pickle.loads(data)


def _array(data: bytes, dtype: str, shape: tuple[int, ...]) -> NDArray[Any]:
    return np.frombuffer(data, dtype).reshape(shape)

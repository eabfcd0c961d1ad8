"""Watches the server from outside while it works: its memory, and how long it leaves one waiting.

The probe has a process of its own, so that the load's clients do not delay it. What it sees is
the event loop's lag, the processor's queue and a small request on top: an upper bound.
"""

import http.client
import multiprocessing
import time
from dataclasses import dataclass
from multiprocessing.connection import Connection as Pipe
from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import NDArray

_PATH = "/healthz/live"
_PERIOD_SECONDS = 0.05


class Probe:
    """Asks for as long as the context lasts, and says then what it saw."""

    def __init__(self, port: int) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_probe, args=(port, theirs))
        self.waits: NDArray[np.float64] = np.array([])
        """Seconds, of every answer."""
        self.late: NDArray[np.float64] = np.array([])
        """Seconds that the probe itself was late: the processor's queue, without any server."""

    def __enter__(self) -> Self:
        self._process.start()
        self._pipe.recv()  # it has begun
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._pipe.send(None)
        self.waits, self.late = map(np.array, self._pipe.recv())
        self._process.join()


def _probe(port: int, pipe: Pipe) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    waits: list[float] = []
    late: list[float] = []
    pipe.send(None)
    slept = time.perf_counter()
    while not pipe.poll(_PERIOD_SECONDS):
        began = time.perf_counter()
        connection.request("GET", _PATH)
        connection.getresponse().read()
        late.append(began - slept - _PERIOD_SECONDS)
        slept = time.perf_counter()
        waits.append(slept - began)
    pipe.send((waits, late))


@dataclass(frozen=True, slots=True)
class Memory:
    """Megabytes resident: medians of the first and of the last part of the samples."""

    first: float
    last: float
    most: float

    @property
    def growth(self) -> float:
        return self.last / self.first - 1 if self.first else 0.0


def memory_of(samples: list[float], *, share: float = 0.2) -> Memory:
    """`samples` after the warm-up, one a second."""
    count = max(1, int(len(samples) * share))
    first, last = np.median(samples[:count]), np.median(samples[-count:])
    return Memory(float(first), float(last), float(np.max(samples)))

"""Watches the server while it works: its memory, its event loop, how long it leaves one waiting.

The probe has a process of its own, so that the load's clients do not delay it. What it sees is
the event loop's lag, the processor's queue and a small request on top: an upper bound. The loop's
own timer tells its lag alone, in the server's metrics.
"""

import http.client
import math
import multiprocessing
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection as Pipe
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray
from prometheus_client.parser import text_string_to_metric_families

_PATH = "/healthz/live"
_PERIOD_SECONDS = 0.05
_LAG = "recur_event_loop_lag_seconds"
_PARTS = 12
"""Of the second half, for the line through it."""


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


class Resident(NamedTuple):
    """A sample."""

    seconds: float
    """Since the begin."""
    megabytes: float


@dataclass(frozen=True, slots=True)
class Memory:
    """Megabytes resident."""

    minutes: tuple[float, ...]
    """The median of each minute."""
    most: float
    slope: float
    """Megabytes an hour, of a line through the second half; what came before it is warm-up."""
    error: float
    """The slope's standard error."""

    @property
    def grows(self) -> bool:
        """Whether a slope is shown, and not just allowed by the scatter."""
        return self.slope > 2 * self.error


def memory_of(samples: Sequence[Resident]) -> Memory:
    """The line goes through medians: neighbouring samples are too much alike to count as so many
    witnesses."""
    seconds, megabytes = np.array(samples).T
    ends = np.arange(60, seconds[-1], 60)
    parts = np.split(megabytes, np.searchsorted(seconds, ends))
    minutes = tuple(float(np.median(part)) for part in parts if len(part))
    half = int(np.searchsorted(seconds, seconds[-1] / 2))
    slope = error = math.nan
    if len(samples) - half >= _PARTS:
        parts = np.array_split(np.arange(half, len(samples)), _PARTS)
        hours = [seconds[part].mean() / 3600 for part in parts]
        medians = [np.median(megabytes[part]) for part in parts]
        line, covariance = np.polyfit(hours, medians, 1, cov=True)
        slope, error = float(line[0]), float(np.sqrt(covariance[0, 0]))
    return Memory(minutes, float(megabytes.max()), slope, error)


@dataclass(frozen=True, slots=True)
class Lag:
    """Of the server's event loop: how many of its timer's looks were late by no more than what."""

    buckets: Mapping[float, float]
    """Looks by upper bound in seconds, the infinite one being all."""

    @property
    def looks(self) -> int:
        return int(self.buckets.get(math.inf, 0))

    def above(self, seconds: float) -> int:
        """`seconds` is a bound of a bucket."""
        return self.looks - int(self.buckets[seconds])

    def since(self, earlier: "Lag") -> "Lag":
        return Lag({at: n - earlier.buckets.get(at, 0.0) for at, n in self.buckets.items()})

    @property
    def most(self) -> float:
        """A bound that no look was above."""
        return min(at for at, count in self.buckets.items() if count == self.looks)


def lag_of(metrics: str) -> Lag:
    """As Prometheus would read it in the server's metrics."""
    return Lag(
        {
            float(sample.labels["le"]): sample.value
            for family in text_string_to_metric_families(metrics)
            for sample in family.samples
            if sample.name == f"{_LAG}_bucket"
        }
    )


def queued_seconds(pid: int) -> float:
    """How long a process's first thread, the event loop's, has waited for a processor."""
    _, queued, _ = Path(f"/proc/{pid}/schedstat").read_text().split()
    return int(queued) / 1e9

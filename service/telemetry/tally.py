"""A counter and a histogram without locks, at a fifth of the usual cost.

The client library's own take a lock for each number that they change, which the service would do
several times for every request, row and token. Here each number has one thread that changes it,
and those of several threads are added up when they are read.
"""

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from itertools import accumulate

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString


class Count:
    """Of one set of labels."""

    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value = 0.0

    def inc(self, amount: float = 1.0) -> None:
        self.value += amount


class Tally(Collector):
    """A counter, `name` without its `_total`."""

    def __init__(
        self, name: str, meaning: str, labels: Sequence[str], *, registry: CollectorRegistry
    ) -> None:
        self._name, self._meaning = name, meaning
        self._labelnames = tuple(labels)
        self._counts: dict[tuple[str, ...], Count] = {}
        registry.register(self)

    def labels(self, *values: str) -> Count:
        """In the order of their names."""
        count = self._counts.get(values)
        if count is None:
            assert len(values) == len(self._labelnames)
            count = self._counts[values] = Count()
        return count

    def describe(self) -> Iterator[CounterMetricFamily]:
        """Its names, so that the registry refuses a second one of them."""
        yield CounterMetricFamily(self._name, self._meaning, labels=self._labelnames)

    def collect(self) -> Iterator[CounterMetricFamily]:
        family = CounterMetricFamily(self._name, self._meaning, labels=self._labelnames)
        for values, count in list(self._counts.items()):
            family.add_metric(values, count.value)
        yield family


class Spread:
    """Of the values of one set of labels: how many fell into which bucket, and their sum."""

    __slots__ = ("_bounds", "counts", "total")

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def observe(self, value: float) -> None:
        self.counts[bisect_left(self._bounds, value)] += 1
        self.total += value


class TallyHistogram(Collector):
    """`buckets` are their upper bounds, without the infinite one."""

    def __init__(
        self,
        name: str,
        meaning: str,
        labels: Sequence[str],
        *,
        buckets: Sequence[float],
        registry: CollectorRegistry,
    ) -> None:
        self._name, self._meaning = name, meaning
        self._labelnames = tuple(labels)
        self._bounds = tuple(map(float, buckets))
        self._spreads: dict[tuple[str, ...], dict[int, Spread]] = {}
        registry.register(self)

    def labels(self, *values: str, writer: int = 0) -> Spread:
        """In the order of their names. `writer` tells threads apart: each has its own number."""
        spreads = self._spreads.get(values)
        if spreads is None:
            assert len(values) == len(self._labelnames)
            spreads = self._spreads[values] = {}
        spread = spreads.get(writer)
        if spread is None:
            spread = spreads[writer] = Spread(self._bounds)
        return spread

    def describe(self) -> Iterator[HistogramMetricFamily]:
        """Its names, so that the registry refuses a second one of them."""
        yield HistogramMetricFamily(self._name, self._meaning, labels=self._labelnames)

    def collect(self) -> Iterator[HistogramMetricFamily]:
        family = HistogramMetricFamily(self._name, self._meaning, labels=self._labelnames)
        names = [*map(floatToGoString, self._bounds), "+Inf"]
        for values, spreads in list(self._spreads.items()):
            parts = list(spreads.values())
            counts = map(sum, zip(*[spread.counts for spread in parts], strict=True))
            buckets = list(zip(names, accumulate(counts), strict=True))
            family.add_metric(values, buckets, sum(spread.total for spread in parts))
        yield family

"""What the other processes of the service use: `recur_front_process_*`, with a label for each."""

from collections.abc import Callable, Iterator, Sequence

from prometheus_client import CollectorRegistry, Metric, ProcessCollector
from prometheus_client.registry import Collector


class FrontProcesses(Collector):
    """Their processor time, memory and open files, as the system tells them."""

    def __init__(self, pids: Callable[[], Sequence[int]], *, registry: CollectorRegistry) -> None:
        """`pids` gives those that run now; their places are their labels, so that there are few."""
        self._pids = pids
        registry.register(self)

    def describe(self) -> Iterator[Metric]:
        """None by name: which there are depends on the system."""
        return iter(())

    def collect(self) -> Iterator[Metric]:
        families: dict[str, Metric] = {}
        for place, pid in enumerate(self._pids()):
            front = {"front": str(place)}
            for family in _process(pid).collect():
                known = Metric(family.name, family.documentation, family.type)
                known = families.setdefault(family.name, known)
                for sample in family.samples:
                    known.add_sample(sample.name, {**sample.labels, **front}, sample.value)
        yield from families.values()


def _process(pid: int) -> ProcessCollector:
    return ProcessCollector(namespace="recur_front", pid=lambda: pid, registry=None)

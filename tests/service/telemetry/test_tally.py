"""Tallies say what the client library's own instruments would."""

import pytest
from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.openmetrics import exposition

from service.telemetry.tally import Tally, TallyHistogram

BUCKETS = (0.5, 1, 2.5)
VALUES = (0.1, 0.5, 0.7, 2.5, 9.0)


def measured(
    counter: type[Tally] | type[Counter], histogram: type[TallyHistogram] | type[Histogram]
) -> CollectorRegistry:
    """The same requests, counted by instruments of these kinds."""
    registry = CollectorRegistry()
    count = counter("recur_requests", "Requests.", ["model", "outcome"], registry=registry)
    seconds = histogram("recur_s", "Seconds.", ["model"], buckets=BUCKETS, registry=registry)
    count.labels("a", "ok").inc()
    count.labels("a", "ok").inc(3)
    count.labels('b"\n', "not_found").inc()
    for value in VALUES:
        seconds.labels("a").observe(value)
    return registry


@pytest.mark.parametrize("render", [generate_latest, exposition.generate_latest])
def test_a_tally_reads_as_the_librarys_own_instruments(render):
    def lines(registry: CollectorRegistry) -> list[str]:
        return [line for line in render(registry).decode().splitlines() if "_created" not in line]

    assert lines(measured(Tally, TallyHistogram)) == lines(measured(Counter, Histogram))


def test_two_instruments_of_one_name_are_refused():
    registry = measured(Tally, TallyHistogram)
    with pytest.raises(ValueError, match="recur_requests"):
        Tally("recur_requests", "Again.", ["model"], registry=registry)

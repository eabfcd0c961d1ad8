"""Sessions in memory: who finds them, when they go, and what is said of them afterwards."""

import gc
import sys

import pytest
from prometheus_client import CollectorRegistry

from service.errors import (
    Gone,
    SessionEnded,
    SessionEvicted,
    SessionExists,
    SessionExpired,
    SessionLost,
    SessionNotFound,
    TooLarge,
    TooManySessions,
)
from service.sessions.store.memory import MemoryStore, steady_clock
from service.telemetry.metrics import Metrics
from tests.service.sessions.stores import CONFIG, STATE_BYTES, Clock, setup, state


def test_a_session_opened_is_found_by_its_tenant_and_id() -> None:
    it = setup()
    session = it.open("mine", metadata={"room": "3"}, step=4, ttl_seconds=7.0)
    assert it.store.get("mine", tenant="one") is session
    assert (session.step, session.metadata) == (4, {"room": "3"})
    assert session.expires_at == it.clock() + 7


def test_ids_of_the_server_are_long_and_never_the_same() -> None:
    it = setup(max_sessions=1000, max_sessions_per_tenant=1000)
    ids = {it.open().id for _ in range(1000)}
    assert len(ids) == 1000
    # 16 random bytes in base64 after the run's mark: not to be guessed.
    assert all(len(session_id.partition("-")[2]) >= 22 for session_id in ids)


def test_an_id_that_is_live_cannot_be_opened_again() -> None:
    it = setup()
    it.open("mine")
    with pytest.raises(SessionExists) as caught:
        it.open("mine")
    assert caught.value.param == "session_id"
    assert it.metric("session_bytes") == STATE_BYTES


def test_tenants_do_not_see_each_other() -> None:
    it = setup()
    theirs = it.open("same", tenant="other")
    mine = it.open("same")
    assert it.store.get("same", tenant="other") is theirs is not mine
    assert it.store.of_tenant("one") == [mine]


@pytest.mark.parametrize("ended", [False, True])
def test_another_tenants_id_reads_exactly_like_an_unknown_one(ended: bool) -> None:
    it = setup()
    theirs = it.open(tenant="other")
    if ended:
        it.store.end(theirs, "ended")
    errors = []
    for session_id in (theirs.id, theirs.id[:-4] + "none"):
        with pytest.raises(SessionNotFound) as caught:
            it.store.get(session_id, tenant="one")
        errors.append((caught.value.message, caught.value.param, caught.value.details))
    assert errors[0] == errors[1]


def test_an_idle_session_expires_on_time_and_not_before() -> None:
    it = setup()
    it.open("mine")
    it.clock.pass_seconds(99.5)
    assert it.store.get("mine", tenant="one")
    it.clock.pass_seconds(0.5)
    with pytest.raises(SessionExpired) as caught:
        it.store.get("mine", tenant="one")
    assert caught.value.details["reason"] == "expired"


def test_a_sweep_ends_what_nobody_asks_for() -> None:
    it = setup()
    it.open("short", ttl_seconds=1)
    it.open("long")
    it.clock.pass_seconds(2)
    it.store.sweep()
    assert it.metric("session_bytes") == STATE_BYTES
    assert it.metric("session_ends_total", reason="expired") == 1
    assert [session.id for session in it.store.of_tenant("one")] == ["long"]


def test_an_id_can_be_opened_again_once_its_session_expired() -> None:
    it = setup()
    first = it.open("mine")
    it.clock.pass_seconds(100)
    second = it.open("mine")
    assert it.store.get("mine", tenant="one") is second is not first
    assert not it.store.is_live(first)


@pytest.mark.parametrize(
    ("reason", "error"),
    [
        ("ended", SessionEnded),
        ("expired", SessionExpired),
        ("evicted", SessionEvicted),
        ("lost", SessionLost),
    ],
)
def test_a_tombstone_says_why_when_and_at_which_step(reason: str, error: type[Gone]) -> None:
    it = setup()
    it.store.end(it.open("mine", step=12), reason)
    it.clock.pass_seconds(5)
    with pytest.raises(error) as caught:
        it.store.get("mine", tenant="one")
    # The test's clock began 1,000 seconds after the epoch.
    at = "1970-01-01T00:16:40.000Z"
    assert caught.value.details == {"step": 12, "at": at, "reason": reason}
    assert it.metric("session_ends_total", reason=reason) == 1


def test_ending_twice_counts_once_and_the_first_reason_stays() -> None:
    it = setup()
    session = it.open("mine")
    it.store.end(session, "ended")
    it.store.end(session, "evicted")
    with pytest.raises(SessionEnded):
        it.store.get("mine", tenant="one")
    assert it.metric("session_ends_total", reason="evicted") == 0
    assert it.metric("session_bytes") == 0


def test_ending_the_first_of_an_id_leaves_the_second_alone() -> None:
    it = setup()
    first = it.open("mine")
    it.store.end(first, "ended")
    second = it.open("mine")
    it.store.end(first, "evicted")
    assert it.store.get("mine", tenant="one") is second


def test_tombstones_are_bounded_and_the_oldest_go_first() -> None:
    it = setup(max_tombstones=3)
    for name in "abcd":
        it.store.end(it.open(name), "ended")
    with pytest.raises(SessionNotFound):
        it.store.get("a", tenant="one")
    with pytest.raises(SessionEnded):
        it.store.get("b", tenant="one")


def test_of_an_id_used_twice_the_last_end_counts() -> None:
    it = setup(max_tombstones=3)
    it.store.end(it.open("other"), "ended")
    for step, reason in enumerate(("ended", "evicted", "lost")):
        it.store.end(it.open("mine", step=step), reason)
    with pytest.raises(SessionLost) as caught:
        it.store.get("mine", tenant="one")
    assert caught.value.details["step"] == 2


def test_what_became_of_a_session_is_its_tenants_secret() -> None:
    it = setup()
    it.store.end(it.open("mine"), "ended")
    with pytest.raises(SessionNotFound):
        it.store.get("mine", tenant="other")


def test_remembering_sessions_that_are_gone_makes_no_objects() -> None:
    it = setup(max_tombstones=1_000)
    for _ in range(10):  # what the first ones bring with them: a clock's float, a counter's label
        it.store.end(it.open(), "ended")
    gc.collect()
    before = sys.getallocatedblocks()
    for _ in range(900):
        it.store.end(it.open(), "ended")
    gc.collect()
    assert sys.getallocatedblocks() - before < 100


def test_an_id_of_an_earlier_run_is_lost_not_unknown() -> None:
    earlier = setup()
    session_id = earlier.open().id
    later = setup()
    with pytest.raises(SessionLost) as caught:
        later.store.get(session_id, tenant="one")
    assert caught.value.param == "session_id"
    with pytest.raises(SessionNotFound):
        later.store.get(later.open().id[:-2] + "no", tenant="one")
    with pytest.raises(SessionNotFound):
        later.store.get("my-own-id", tenant="one")


def test_a_tenants_limit_is_its_own() -> None:
    it = setup(max_sessions_per_tenant=2)
    it.open("a")
    it.open("b")
    with pytest.raises(TooManySessions, match="RECUR_SESSION_MAX_PER_TENANT is 2") as caught:
        it.open("c")
    assert caught.value.retry_after_seconds == 100
    assert it.open("c", tenant="other")
    assert it.metric("shed_total", reason="too_many_sessions") == 1


class Counted(float):
    """A time that counts how often it is looked at."""

    looks = 0

    def __le__(self, other: float) -> bool:
        Counted.looks += 1
        return float(self) <= other

    def __lt__(self, other: float) -> bool:
        Counted.looks += 1
        return float(self) < other

    def __sub__(self, other: float) -> float:
        Counted.looks += 1
        return float(self) - other

    __hash__ = float.__hash__


@pytest.mark.parametrize("busy", [False, True])
def test_a_refusal_does_not_look_through_all_sessions(busy: bool) -> None:
    it = setup(max_sessions=500, max_sessions_per_tenant=500)
    for index in range(500):
        session = it.open()
        session.expires_at = Counted(session.expires_at)
        session.num_users = int(busy and index == 0)
    it.clock.pass_seconds(99)
    Counted.looks = 0
    for _ in range(100):
        with pytest.raises(TooManySessions):
            it.open()
    assert Counted.looks < 5000


def test_the_limit_of_all_sessions_counts_every_tenant() -> None:
    it = setup(max_sessions=2)
    it.open(tenant="a")
    it.open(tenant="b")
    with pytest.raises(TooManySessions, match="RECUR_SESSION_MAX is 2"):
        it.open(tenant="c")


def test_the_limit_of_bytes_counts_states() -> None:
    it = setup(max_bytes=3 * STATE_BYTES)
    it.open(state=state(size=2))
    with pytest.raises(TooManySessions, match=r"RECUR_SESSION_MAX_BYTES is 12"):
        it.open(state=state(size=2))
    assert it.open(state=state(size=1))


def test_a_state_that_never_fits_says_so() -> None:
    it = setup(max_bytes=STATE_BYTES, overflow="evict")
    it.open("mine")
    with pytest.raises(TooLarge, match="RECUR_SESSION_MAX_BYTES"):
        it.open(state=state(size=2))
    assert it.store.get("mine", tenant="one")


def test_expired_sessions_make_room() -> None:
    it = setup(max_sessions=1)
    it.open("old")
    it.clock.pass_seconds(100)
    assert it.open("new")


def test_eviction_takes_the_one_idle_longest() -> None:
    it = setup(max_sessions=2, overflow="evict")
    it.open("old", ttl_seconds=1000)
    it.clock.pass_seconds(5)
    it.open("young", ttl_seconds=20)
    it.open("new")
    with pytest.raises(SessionEvicted):
        it.store.get("old", tenant="one")
    assert it.store.get("young", tenant="one")


def test_eviction_for_a_tenants_limit_takes_one_of_that_tenant() -> None:
    it = setup(max_sessions_per_tenant=1, overflow="evict")
    it.open("theirs", tenant="other")
    it.clock.pass_seconds(1)
    it.open("mine")
    it.open("new")
    assert it.store.get("theirs", tenant="other")
    with pytest.raises(SessionEvicted):
        it.store.get("mine", tenant="one")


def test_eviction_for_bytes_takes_as_many_as_it_needs() -> None:
    it = setup(max_bytes=3 * STATE_BYTES, overflow="evict")
    for name in "abc":
        it.open(name)
        it.clock.pass_seconds(1)
    it.open("big", state=state(size=2))
    assert [session.id for session in it.store.of_tenant("one")] == ["c", "big"]
    assert it.metric("session_bytes") == 3 * STATE_BYTES


def test_a_busy_session_is_never_evicted() -> None:
    it = setup(max_sessions=2, overflow="evict")
    it.open("busy").num_users = 1
    it.clock.pass_seconds(1)
    it.open("idle")
    it.open("new").num_users = 1
    assert it.store.get("busy", tenant="one")
    with pytest.raises(TooManySessions):
        it.open("another")


def test_the_gauges_tell_busy_from_idle() -> None:
    it = setup()
    it.open("busy").num_users = 1
    it.open("idle")
    it.open("idle too")
    assert it.metric("sessions", state="busy") == 1
    assert it.metric("sessions", state="idle") == 2
    assert it.metric("session_bytes") == 3 * STATE_BYTES


def test_sessions_of_a_version_are_those_alone() -> None:
    it = setup()
    old = it.open(version=1)
    it.open(version=2)
    it.open(model="other")
    assert list(it.store.of_version("total", 1)) == [old]


def test_the_clock_of_a_store_that_is_given_none_does_not_go_back() -> None:
    clock = steady_clock()
    assert clock() <= clock()
    assert MemoryStore(CONFIG, Metrics(CollectorRegistry()), now=Clock()).now() == 1_000

"""The store against a model of it: any order of verbs, on any clock, gives what the rules say."""

import asyncio
from dataclasses import dataclass

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from service.errors import (
    Gone,
    SessionEnded,
    SessionExists,
    SessionExpired,
    SessionNotFound,
    TooManySessions,
)
from service.sessions.checkout import checkout
from tests.service.sessions.stores import STATE_BYTES, setup, state

TTL = 100.0
LIMIT = 4
PER_TENANT = 3

tenants = st.sampled_from(["one", "two"])
ids = st.sampled_from(["a", "b", "c"])


@dataclass
class Known:
    """What the model knows of one session."""

    step: int
    total: float
    expires_at: float
    gone: type[Gone] | None = None


class Sessions(RuleBasedStateMachine):
    @initialize()
    def begin(self) -> None:
        self.it = setup(max_sessions=LIMIT, max_sessions_per_tenant=PER_TENANT, ttl_seconds=TTL)
        self.known: dict[tuple[str, str], Known] = {}

    def live(self) -> dict[tuple[str, str], Known]:
        return {key: known for key, known in self.known.items() if self.is_live(key)}

    def is_live(self, key: tuple[str, str]) -> bool:
        """Whether a session lives; one whose time is up is marked."""
        known = self.known.get(key)
        if known is not None and known.gone is None and known.expires_at <= self.it.clock():
            known.gone = SessionExpired
        return known is not None and known.gone is None

    @rule(tenant=tenants, session_id=ids)
    def opens(self, tenant: str, session_id: str) -> None:
        key, live = (tenant, session_id), self.live()
        if key in live:
            with pytest.raises(SessionExists):
                self.it.open(session_id, tenant=tenant)
        elif len(live) >= LIMIT or sum(owner == tenant for owner, _ in live) >= PER_TENANT:
            with pytest.raises(TooManySessions):
                self.it.open(session_id, tenant=tenant)
        else:
            self.it.open(session_id, tenant=tenant)
            self.known[key] = Known(0, 0.0, self.it.clock() + TTL)

    @rule(tenant=tenants, session_id=ids, value=st.integers(1, 9), fails=st.booleans())
    def steps(self, tenant: str, session_id: str, value: int, fails: bool) -> None:
        key = (tenant, session_id)
        if not self.is_live(key):
            with pytest.raises(self.absence(key)):
                asyncio.run(self._step(tenant, session_id, value, fails=fails))
            return
        known = self.known[key]
        asyncio.run(self._step(tenant, session_id, value, fails=fails))
        if not fails:
            known.step += 1
            known.total += value
            known.expires_at = self.it.clock() + TTL

    async def _step(self, tenant: str, session_id: str, value: int, *, fails: bool) -> None:
        try:
            async with checkout(self.it.store, session_id, tenant=tenant) as lease:
                if fails:
                    raise ZeroDivisionError
                total = lease.session.state.tensors[0][0] + value
                lease.commit(state(total), steps=1, expires_at=lease.next_expiry(), past=None)
        except ZeroDivisionError:
            pass

    @rule(tenant=tenants, session_id=ids)
    def ends(self, tenant: str, session_id: str) -> None:
        key = (tenant, session_id)
        if self.is_live(key):
            self.it.store.end(self.it.store.get(session_id, tenant=tenant), "ended")
            self.known[key].gone = SessionEnded

    @rule(seconds=st.sampled_from([0.0, 1.0, 30.0, 60.0, 99.0, 100.0]))
    def time_passes(self, seconds: float) -> None:
        self.it.clock.pass_seconds(seconds)

    @rule()
    def sweeps(self) -> None:
        self.it.store.sweep()

    def absence(self, key: tuple[str, str]) -> type[Exception]:
        known = self.known.get(key)
        return SessionNotFound if known is None or known.gone is None else known.gone

    @invariant()
    def every_session_is_what_the_model_knows(self) -> None:
        for tenant in ("one", "two"):
            for session_id in "abc":
                key = (tenant, session_id)
                if self.is_live(key):
                    session, known = self.it.store.get(session_id, tenant=tenant), self.known[key]
                    assert session.step == known.step
                    assert session.state.tensors[0][0] == known.total
                    assert session.expires_at == known.expires_at
                    assert not session.busy
                else:
                    with pytest.raises(self.absence(key)):
                        self.it.store.get(session_id, tenant=tenant)

    @invariant()
    def the_bytes_are_those_of_the_live(self) -> None:
        assert self.it.metric("session_bytes") == STATE_BYTES * len(self.live())


TestSessions = pytest.mark.slow(Sessions.TestCase)
TestSessions.settings = settings(max_examples=40, stateful_step_count=30, deadline=None)

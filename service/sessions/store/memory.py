"""Sessions in this process's memory: found by tenant and id, bounded, swept, and missed by name."""

import math
import re
import secrets
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

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
from service.sessions.clock import iso, steady_clock
from service.sessions.session import Session, SessionState
from service.sessions.store.tombstones import Reason, Tombstone, Tombstones
from service.telemetry.metrics import Metrics

_OUR_ID = re.compile(r"s([0-9a-f]{8})-[A-Za-z0-9_-]{22}")
_GONE: dict[str, type[Gone]] = {
    "ended": SessionEnded,
    "expired": SessionExpired,
    "evicted": SessionEvicted,
    "lost": SessionLost,
}


@dataclass(frozen=True, slots=True)
class SessionsConfig:
    ttl_seconds: float = 600.0
    max_ttl_seconds: float = 86_400.0
    max_sessions: int = 100_000
    max_sessions_per_tenant: int = 10_000
    max_bytes: int = 1 << 30
    """Of all states and kept replies together."""
    overflow: Literal["refuse", "evict"] = "refuse"
    """At a limit: refuse the new session, or end the one that has been idle longest."""
    replay_window: int = 4
    """Replies that each session keeps for retries."""
    replay_bytes: int = 1 << 18
    """Bytes of them; a reply that is larger is not kept."""
    max_tombstones: int = 100_000
    """Sessions that are gone of which is known what became of them."""


class MemoryStore:
    """Belongs to the event loop; nothing in it waits."""

    def __init__(
        self,
        config: SessionsConfig,
        metrics: Metrics,
        *,
        now: Callable[[], float] | None = None,
    ) -> None:
        self.config = config
        self.now = now or steady_clock()
        self._metrics = metrics
        self._sessions: dict[tuple[str, str], Session] = {}
        self._per_tenant: dict[str, int] = {}
        self._tombstones = Tombstones(config.max_tombstones)
        self._bytes = 0
        self._none_expires_before = math.inf
        # An id tells which run of the server gave it: one of an earlier run is lost, not unknown.
        self._run = secrets.token_hex(4)
        metrics.session_bytes.set_function(lambda: self._bytes)
        for state, busy in (("busy", True), ("idle", False)):
            metrics.sessions.labels(state=state).set_function(self._counter(busy=busy))

    def open(
        self,
        *,
        tenant: str,
        model: str,
        version: int,
        state: SessionState,
        session_id: str | None = None,
        ttl_seconds: float | None = None,
        step: int = 0,
        metadata: dict[str, str] | None = None,
    ) -> Session:
        """Raises SessionExists, TooManySessions, TooLarge."""
        if session_id is not None and self._find(tenant, session_id) is not None:
            raise SessionExists(f"session {session_id!r} is live", param="session_id")
        self._make_room(tenant, state.num_bytes)
        now = self.now()
        ttl = self.config.ttl_seconds if ttl_seconds is None else ttl_seconds
        session = Session(
            id=session_id or f"s{self._run}-{secrets.token_urlsafe(16)}",
            tenant=tenant,
            model=model,
            version=version,
            state=state,
            ttl_seconds=ttl,
            created_at=now,
            expires_at=now + ttl,
            past=deque(maxlen=self.config.replay_window),
            metadata=metadata or {},
            step=step,
        )
        key = (tenant, session.id)
        self._sessions[key] = session
        self._none_expires_before = min(self._none_expires_before, session.expires_at)
        self._per_tenant[tenant] = self._per_tenant.get(tenant, 0) + 1
        self._bytes += state.num_bytes
        return session

    def get(self, session_id: str, *, tenant: str) -> Session:
        """The live session. Raises SessionNotFound, or the Gone that says what became of it."""
        session = self._find(tenant, session_id)
        if session is not None:
            return session
        tombstone = self._tombstones.find(tenant, session_id)
        if tombstone is not None:
            raise _gone(session_id, tombstone)
        ours = _OUR_ID.fullmatch(session_id)
        if ours is not None and ours[1] != self._run:
            raise SessionLost(
                "the session was kept in the memory of a server that has since stopped",
                param="session_id",
            )
        raise SessionNotFound("no such session", param="session_id")

    def end(self, session: Session, reason: Reason) -> None:
        """Forget the state, keep a tombstone. Idempotent."""
        key = (session.tenant, session.id)
        if self._sessions.get(key) is not session:
            return
        del self._sessions[key]
        self._bytes -= session.num_bytes
        self._per_tenant[session.tenant] -= 1
        if not self._per_tenant[session.tenant]:
            del self._per_tenant[session.tenant]
        self._tombstones.put(*key, Tombstone(reason, self.now(), session.step))
        self._metrics.session_ends.labels(reason=reason).inc()

    def account(self, more_bytes: int) -> None:
        """A live session grew, or, below zero, shrank."""
        self._bytes += more_bytes

    def is_live(self, session: Session) -> bool:
        return self._sessions.get((session.tenant, session.id)) is session

    def of_tenant(self, tenant: str) -> list[Session]:
        """Oldest first."""
        self.sweep()
        return [session for (owner, _), session in self._sessions.items() if owner == tenant]

    def of_version(self, model: str, version: int) -> Iterator[Session]:
        """The sessions pinned to one version of a model."""
        self.sweep()
        for session in list(self._sessions.values()):
            if session.model == model and session.version == version:
                yield session

    def sweep(self) -> None:
        """End every session whose time is up; costs nothing while that can be none.

        A time to live only grows while its session lives. A busy one is looked at again in a
        second, or when it is asked for.
        """
        now = self.now()
        if now < self._none_expires_before:
            return
        for session in list(self._sessions.values()):
            if not session.busy and session.expires_at <= now:
                self.end(session, "expired")
        self._none_expires_before = min(
            (
                max(session.expires_at, now + 1.0) if session.busy else session.expires_at
                for session in self._sessions.values()
            ),
            default=math.inf,
        )

    def _find(self, tenant: str, session_id: str) -> Session | None:
        session = self._sessions.get((tenant, session_id))
        if session is not None and not session.busy and session.expires_at <= self.now():
            self.end(session, "expired")
            return None
        return session

    def _make_room(self, tenant: str, num_bytes: int) -> None:
        """Room for one session more, or TooManySessions; evicts idle ones if so configured."""
        config = self.config
        if num_bytes > config.max_bytes:
            raise TooLarge(
                f"a state of {num_bytes} bytes; RECUR_SESSION_MAX_BYTES allows "
                f"{config.max_bytes} in all",
                details={"limit": config.max_bytes},
            )
        checks: list[tuple[Callable[[], bool], str, int, str | None]] = [
            (
                lambda: self._per_tenant.get(tenant, 0) >= config.max_sessions_per_tenant,
                "RECUR_SESSION_MAX_PER_TENANT",
                config.max_sessions_per_tenant,
                tenant,
            ),
            (
                lambda: len(self._sessions) >= config.max_sessions,
                "RECUR_SESSION_MAX",
                config.max_sessions,
                None,
            ),
            (
                lambda: self._bytes + num_bytes > config.max_bytes,
                "RECUR_SESSION_MAX_BYTES",
                config.max_bytes,
                None,
            ),
        ]
        for is_full, name, limit, owner in checks:
            if is_full():
                self.sweep()
            while is_full():
                idle = self._idle_longest(owner) if config.overflow == "evict" else None
                if idle is None:
                    self._metrics.shed.labels(reason="too_many_sessions").inc()
                    raise TooManySessions(
                        f"no room for another session: {name} is {limit}",
                        retry_after_seconds=max(1.0, self._none_expires_before - self.now()),
                        details={"limit": limit, "setting": name},
                    )
                self.end(idle, "evicted")

    def _idle_longest(self, tenant: str | None) -> Session | None:
        idle = (
            session
            for session in self._sessions.values()
            if not session.busy and tenant in (None, session.tenant)
        )
        return min(idle, key=lambda session: session.expires_at - session.ttl_seconds, default=None)

    def _counter(self, *, busy: bool) -> Callable[[], float]:
        return lambda: sum(session.busy == busy for session in self._sessions.values())


def _gone(session_id: str, tombstone: Tombstone) -> Gone:
    return _GONE[tombstone.reason](
        f"session {session_id!r} {_PAST[tombstone.reason]} at step {tombstone.step}",
        param="session_id",
        details={"step": tombstone.step, "at": iso(tombstone.at), "reason": tombstone.reason},
    )


_PAST = {
    "ended": "was ended",
    "expired": "expired",
    "evicted": "was evicted to make room",
    "lost": "was lost with its model's version",
}

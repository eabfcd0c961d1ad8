"""A lease on a session: exclusive, in order of arrival; it commits, or leaves all as it was."""

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from service.errors import DeadlineExceeded, SessionEnded
from service.sessions.session import PastStep, Session, SessionState
from service.sessions.store.memory import MemoryStore


class Lease:
    """The right to move one session, until the `async with` that gave it ends."""

    def __init__(self, store: MemoryStore, session: Session) -> None:
        self._store = store
        self.session = session
        self.committed = False

    def next_expiry(self) -> float:
        """When the session will expire if this lease commits now; seconds since the epoch."""
        return self._store.now() + self.session.ttl_seconds

    def check_live(self) -> None:
        """Raises the Gone of a session that was ended meanwhile."""
        _must_be_live(self._store, self.session)

    def commit(
        self, state: SessionState, *, steps: int, expires_at: float, past: PastStep | None
    ) -> None:
        """Move the session, all at once. Raises the Gone of a session that was ended meanwhile."""
        self.check_live()
        session = self.session
        bytes_before = session.num_bytes
        session.state = state
        session.step += steps
        session.expires_at = expires_at
        session.clock_stopped_at = self._store.now()
        if past is not None:
            session.remember(past, max_bytes=self._store.config.replay_bytes)
        self._store.account(session.num_bytes - bytes_before)
        self.committed = True


@asynccontextmanager
async def checkout(
    store: MemoryStore, session_id: str, *, tenant: str, deadline: float | None = None
) -> AsyncGenerator[Lease]:
    """Wait for the session's turn. Raises SessionNotFound, Gone, DeadlineExceeded.

    The place in the line is taken before anything waits, so that steps run in order of arrival.
    `deadline` is in seconds of `time.monotonic()`.
    """
    session = store.get(session_id, tenant=tenant)
    if not session.busy:
        session.clock_stopped_at = store.now()
    session.num_users += 1
    lease = Lease(store, session)
    try:
        await _take_turn(session, deadline)
        try:
            _must_be_live(store, session)
            yield lease
        finally:
            session.turn.release()
    finally:
        session.num_users -= 1
        if not session.busy and not lease.committed:
            # Work that failed took nothing from the time that the session had left.
            session.expires_at += store.now() - session.clock_stopped_at


def _must_be_live(store: MemoryStore, session: Session) -> None:
    if not store.is_live(session):
        store.get(session.id, tenant=session.tenant)  # says what became of it
        raise SessionEnded("the session was ended and its id opened anew", param="session_id")


async def _take_turn(session: Session, deadline: float | None) -> None:
    if deadline is None:
        await session.turn.acquire()
        return
    try:
        async with asyncio.timeout(deadline - time.monotonic()):
            await session.turn.acquire()
    except TimeoutError as error:
        raise DeadlineExceeded("the deadline passed while earlier steps ran") from error

"""A lease on a session: exclusive, in order of arrival; it commits, or leaves all as it was."""

from types import TracebackType
from typing import Self

from service.errors import DeadlineExceeded, SessionEnded
from service.sessions.session import PastStep, Session, SessionState
from service.sessions.store.memory import MemoryStore


def checkout(
    store: MemoryStore, session_id: str, *, tenant: str, deadline: float | None = None
) -> "Lease":
    """A lease to wait for: `async with checkout(...) as lease`.

    `deadline` is in seconds of `time.monotonic()`. Raises SessionNotFound, Gone.
    """
    return Lease(store, store.get(session_id, tenant=tenant), deadline)


class Lease:
    """The right to move one session, from the begin of its `async with` to the end."""

    __slots__ = ("_deadline", "_store", "committed", "session")

    def __init__(self, store: MemoryStore, session: Session, deadline: float | None = None) -> None:
        self._store = store
        self._deadline = deadline
        self.session = session
        self.committed = False

    async def __aenter__(self) -> Self:
        """Wait for the turn. Raises DeadlineExceeded, and the Gone of a session that ended.

        The place in the line is taken before anything waits, so that steps run in order of arrival.
        """
        if self.take():
            return self
        self._arrive()
        try:
            await self.session.turn.wait(self._deadline)
        except TimeoutError as error:
            self._leave()
            raise DeadlineExceeded("the deadline passed while earlier steps ran") from error
        except BaseException:
            self._leave()
            raise
        try:
            self.check_live()
        except BaseException:
            self.release()
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.release()

    def take(self) -> bool:
        """Begin without waiting, where the session is free; whether it was. Ends by `release`."""
        if not self.session.turn.take():
            return False
        self._arrive()
        return True

    def release(self) -> None:
        self.session.turn.release()
        self._leave()

    def next_expiry(self) -> float:
        """When the session will expire if this lease commits now; seconds since the epoch."""
        return self._store.now() + self.session.ttl_seconds

    def check_live(self) -> None:
        """Raises the Gone of a session that was ended meanwhile."""
        session = self.session
        if not self._store.is_live(session):
            self._store.get(session.id, tenant=session.tenant)  # says what became of it
            raise SessionEnded("the session was ended and its id opened anew", param="session_id")

    def commit(
        self, state: SessionState, *, steps: int, expires_at: float, past: PastStep | None
    ) -> None:
        """Move the session, all at once. Raises the Gone of a session that was ended meanwhile."""
        self.check_live()
        session, store = self.session, self._store
        bytes_before = session.past_bytes
        session.state = state
        session.step += steps
        session.expires_at = expires_at
        session.clock_stopped_at = store.now()
        if past is not None:
            session.remember(past, max_bytes=store.config.replay_bytes)
        store.account(session.past_bytes - bytes_before)
        self.committed = True

    def _arrive(self) -> None:
        session = self.session
        if not session.busy:
            session.clock_stopped_at = self._store.now()
        session.num_users += 1

    def _leave(self) -> None:
        session = self.session
        session.num_users -= 1
        if not session.busy and not self.committed:
            # Work that failed took nothing from the time that the session had left.
            session.expires_at += self._store.now() - session.clock_stopped_at

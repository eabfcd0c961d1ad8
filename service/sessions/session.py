"""A session is a saved state, the number of steps it has consumed, and an owner."""

from collections import deque
from dataclasses import dataclass, field

import msgspec
import numpy as np
from numpy.typing import NDArray

from service.runtime.base import State
from service.runtime.state import nbytes
from service.sessions.turn import Turn


class SessionState(msgspec.Struct, frozen=True):
    """Everything that the next step depends on."""

    tensors: State
    pending_token: int | None = None
    """A language model's last token: known, but not yet fed to the network, which reads it as it
    predicts the one after. Of CTC what the last step told, which is not new if told again. None
    for other models."""
    waiting: NDArray[np.float32] | None = None
    """Samples of a hop that is not whole yet; None for models that do not read sound."""

    def context(self, tokens: NDArray[np.int64]) -> NDArray[np.int64]:
        """The pending token, then `tokens`: what a language model is to read from here."""
        assert self.pending_token is not None, "only a language model reads on from a token"
        return np.concatenate((np.array([self.pending_token], np.int64), tokens))

    @property
    def num_bytes(self) -> int:
        return nbytes(self.tensors) + (0 if self.waiting is None else self.waiting.nbytes)


class PastStep(msgspec.Struct, frozen=True):
    """A reply that was given, kept to be given again to a retry."""

    step: int
    """Where the session was before it."""
    request_digest: bytes
    reply: object
    num_bytes: int = 0
    """About what the reply takes in memory."""


@dataclass(slots=True, eq=False)
class Session:
    """Mutable, compared by identity. Changed by its lease and its store only."""

    id: str
    tenant: str
    model: str
    version: int
    """Pinned: a session ends on the version on which it began."""
    state: SessionState
    ttl_seconds: float
    created_at: float
    expires_at: float
    """Seconds since the epoch."""
    past: deque[PastStep]
    metadata: dict[str, str] = field(default_factory=dict[str, str])
    step: int = 0
    num_users: int = 0
    """Calls that run on it or wait for it; its idle clock stands still meanwhile."""
    clock_stopped_at: float = 0.0
    """Since when the idle clock stands still; means something only while busy."""
    turn: Turn = field(default_factory=Turn)
    """Two steps never interleave."""
    state_bytes: int = field(init=False)
    """The same for good: its model gives a state its shape."""
    past_bytes: int = 0
    """About what the kept replies take."""

    def __post_init__(self) -> None:
        self.state_bytes = self.state.num_bytes

    @property
    def busy(self) -> bool:
        return self.num_users > 0

    @property
    def num_bytes(self) -> int:
        return self.state_bytes + self.past_bytes

    def remember(self, past: PastStep, *, max_bytes: int) -> None:
        """Keep a reply for retries, and forget the oldest ones for which there is no room."""
        if len(self.past) == self.past.maxlen:
            self._forget_oldest()
        self.past.append(past)
        self.past_bytes += past.num_bytes
        while self.past_bytes > max_bytes:
            self._forget_oldest()

    def past_step(self, step: int) -> PastStep | None:
        return next((past for past in self.past if past.step == step), None)

    def _forget_oldest(self) -> None:
        self.past_bytes -= self.past.popleft().num_bytes

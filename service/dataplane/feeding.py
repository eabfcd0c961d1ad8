"""One chunk on one session: a row of the engine, and what its end makes of the session."""

from typing import Any

import msgspec
from numpy.typing import NDArray

from service.dataplane.raw import RawRoom
from service.dataplane.reading import (
    Ended,
    continued,
    predictions_of,
    read_one,
    read_to_end,
    row_of,
    state_after,
)
from service.dataplane.replay import digest_of, past_step
from service.dataplane.types import Call, Chunk, DataPlaneLimits, Feed, Prediction, StepReply
from service.engine.continuations import Finished
from service.engine.engine import Row
from service.errors import RecurError
from service.registry.registry import Registry
from service.registry.served_model import ServedModel
from service.sessions.checkout import Lease, checkout
from service.sessions.session import PastStep
from service.sessions.store.memory import MemoryStore
from service.telemetry.metrics import Metrics


class Feeding(msgspec.Struct, frozen=True):
    """A chunk that is to run, on a session that was lent for it."""

    lease: Lease
    model: ServedModel
    steps: NDArray[Any]
    """`[time, ...]`, as the model takes them."""
    row: Row
    digest: bytes

    def ended(self, end: Finished) -> Ended:
        session = self.lease.session
        return Ended(end, self.steps, session.state, session.step)

    def end(self, end: Finished, prediction: Prediction) -> Feed:
        """Commit. Raises StateNotFinite, Gone, and then leaves the session untouched."""
        lease, session, steps = self.lease, self.lease.session, self.steps
        at = session.step + len(steps)
        reply = StepReply(session.id, at, prediction, lease.next_expiry())
        lease.commit(
            state_after(self.model, end, steps),
            steps=len(steps),
            expires_at=reply.expires_at,
            past=PastStep(session.step, self.digest, reply, prediction.num_bytes),
        )
        return Feed(reply, replayed=False, model=session.model)


class Feeder:
    """Advances sessions by chunks."""

    def __init__(
        self,
        registry: Registry,
        sessions: MemoryStore,
        *,
        limits: DataPlaneLimits,
        metrics: Metrics,
    ) -> None:
        self._registry = registry
        self._sessions = sessions
        self._limits = limits
        self._metrics = metrics

    @property
    def max_steps(self) -> int:
        """Of one sequence."""
        return self._limits.max_steps

    def room(self) -> RawRoom:
        """For the raw outputs of one request."""
        return RawRoom(self._limits.max_raw_bytes)

    async def feed(
        self, chunk: Chunk, call: Call, *, place: str = "", room: RawRoom | None = None
    ) -> Feed:
        """Commits, or leaves the session untouched.

        `place` is where the chunk stands in its request, which has `room` where it has others too.
        """
        async with self.lease(chunk, call) as lease:
            model = self.model_of(lease)
            read = await read_one(model, chunk.inputs, f"{place}inputs", max_steps=self.max_steps)
            room = room or self.room()
            feeding = await self.begin(lease, model, chunk, read=read, room=room, place=place)
            if isinstance(feeding, Feed):
                return feeding
            (end,) = await read_to_end(model, [feeding.row], call)
            if isinstance(end, RecurError):
                raise end
            (prediction,) = await predictions_of(model, [feeding.ended(end)])
            return feeding.end(end, prediction)

    def lease(self, chunk: Chunk, call: Call) -> Lease:
        """Not yet taken. Raises SessionNotFound, Gone."""
        return checkout(
            self._sessions, chunk.session_id, tenant=call.tenant, deadline=call.deadline
        )

    def model_of(self, lease: Lease) -> ServedModel:
        return self._registry.pinned(lease.session.model, lease.session.version)

    async def begin(
        self,
        lease: Lease,
        model: ServedModel,
        chunk: Chunk,
        *,
        read: NDArray[Any],
        room: RawRoom,
        place: str = "",
    ) -> Feeding | Feed:
        """What is to run, or the reply that was given before.

        Raises StepMismatch, InvalidInput, TooLarge.

        `read` is the chunk as `read_one` gave it.
        """
        session = lease.session
        # The model is the session's own, so that the bytes alone tell shape and type.
        digest = await digest_of(b"feed", b"raw" if chunk.raw else b"", read)
        past = past_step(session, chunk.step, digest, self._metrics)
        if past is not None:
            assert isinstance(past.reply, StepReply), "the digest is that of a feed"
            return Feed(past.reply, replayed=True, model=session.model)
        steps = continued(model, read, session.state, param=f"{place}inputs")
        if chunk.raw:
            room.take(model.manifest.graph.outputs, len(steps), param=f"{place}raw")
        row = row_of(model, steps, session.state, raw=chunk.raw)
        return Feeding(lease, model, steps, row, digest)

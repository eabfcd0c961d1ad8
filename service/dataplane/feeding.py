"""One chunk on one session: a row of the engine, and what its end makes of the session."""

from typing import Any

import msgspec
from numpy.typing import NDArray

from service.dataplane.reading import prediction_of, row_of, state_after
from service.dataplane.replay import digest_of, past_step
from service.dataplane.types import Chunk, Feed, StepReply
from service.engine.continuations import Finished
from service.engine.engine import Row
from service.errors import RecurError
from service.registry.served_model import ServedModel
from service.sessions.checkout import Lease
from service.sessions.session import PastStep
from service.telemetry.metrics import Metrics


class Feeding(msgspec.Struct, frozen=True):
    """Between `begin`, which finds out that there is something to run, and `end`, which commits."""

    lease: Lease
    model: ServedModel
    steps: NDArray[Any]
    """`[time, ...]`, as the model takes them."""
    row: Row
    digest: bytes

    def end(self, end: Finished | RecurError) -> Feed:
        """Commit, or raise the error and leave the session untouched."""
        if isinstance(end, RecurError):
            raise end
        lease, session, steps = self.lease, self.lease.session, self.steps
        reply = StepReply(
            session.id,
            session.step + len(steps),
            prediction_of(self.model, end, steps),
            lease.next_expiry(),
        )
        lease.commit(
            state_after(end, steps, session.state),
            steps=len(steps),
            expires_at=reply.expires_at,
            past=PastStep(session.step, self.digest, reply, reply.prediction.num_bytes),
        )
        return Feed(reply, replayed=False, model=session.model)


def begin(
    lease: Lease, model: ServedModel, chunk: Chunk, *, steps: NDArray[Any], metrics: Metrics
) -> Feeding | Feed:
    """The feeding to run, or the reply that was given before. Raises StepMismatch.

    `steps` is the chunk as the model takes it.
    """
    session = lease.session
    # The model is the session's own, so that the bytes alone tell shape and type.
    digest = digest_of(b"feed", b"raw" if chunk.raw else b"", steps.tobytes())
    past = past_step(session, chunk.step, digest, metrics)
    if past is not None:
        assert isinstance(past.reply, StepReply), "the digest is that of a feed"
        return Feed(past.reply, replayed=True, model=session.model)
    row = row_of(model, steps, session.state, raw=chunk.raw)
    return Feeding(lease, model, steps, row, digest)

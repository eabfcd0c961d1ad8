"""Tells a retry from a new step, so that a state moves once however often it is asked to."""

import hashlib

from service.errors import StepMismatch
from service.sessions.session import PastStep, Session
from service.telemetry.metrics import Metrics

_SHORT_BYTES = 64


def past_step(
    session: Session, step: int | None, digest: bytes, metrics: Metrics
) -> PastStep | None:
    """The step that this request repeats; None if it is to run.

    Raises StepMismatch: the session is elsewhere, or another request made that step.
    """
    if step is None or step == session.step:
        return None
    past = session.past_step(step)
    if past is not None and past.request_digest == digest:
        metrics.steps_replayed.inc()
        return past
    metrics.step_conflicts.inc()
    why = "was made already, by another request" if past else "is not where the session is"
    raise StepMismatch(
        f"step {step} {why}; the session is at {session.step}",
        param="step",
        details={"expected_step": session.step},
    )


def digest_of(kind: bytes, options: bytes, body: bytes) -> bytes:
    """What tells a retry from another request at the same step: all of it where it is short."""
    whole = b"\0".join((kind, options, body))
    if len(whole) <= _SHORT_BYTES:
        return whole
    return hashlib.blake2b(whole, digest_size=16).digest()

"""Tells a retry from a new step, so that a state moves once however often it is asked to."""

import asyncio
import hashlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.errors import StepMismatch
from service.sessions.session import PastStep, Session
from service.telemetry.metrics import Metrics

_SHORT_BYTES = 64
_LONG_BYTES = 1 << 20
"""A body beyond it takes milliseconds."""


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


async def digest_of(kind: bytes, options: bytes, body: bytes | NDArray[Any]) -> bytes:
    """What tells a retry from another request at the same step: all of it where it is short."""
    head = b"\0".join((kind, options, b""))
    size = body.nbytes if isinstance(body, np.ndarray) else len(body)
    if len(head) + size <= _SHORT_BYTES:
        return head + (body.tobytes() if isinstance(body, np.ndarray) else body)
    if size <= _LONG_BYTES:
        return _hash(head, body)
    return await asyncio.to_thread(_hash, head, body)


def _hash(head: bytes, body: bytes | NDArray[Any]) -> bytes:
    """Of both as one; of a long body, without the interpreter."""
    digest = hashlib.blake2b(head, digest_size=16)
    digest.update(np.ascontiguousarray(body).data if isinstance(body, np.ndarray) else body)
    return digest.digest()

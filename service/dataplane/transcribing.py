"""What the steps of a sequence say that goes on from others: new labels, and when each began."""

import numpy as np
from numpy.typing import NDArray

from service.artifact.ctc import collapse
from service.artifact.tasks import CtcOutput
from service.dataplane.types import Transcript
from service.sessions.session import SessionState


def transcript_of(
    output: CtcOutput, logits: NDArray[np.float32], before: SessionState, *, step: int
) -> Transcript:
    """Of `logits [steps, 1 + labels]`, the first of which is step number `step` of its sequence."""
    assert before.pending_token is not None, "the state is that of a model with labels"
    told = collapse(logits, before.pending_token)
    # A label is known at the end of its step.
    times = (step + told.steps + 1) * output.step_seconds
    text = "".join(output.labels[label] for label in told.labels)
    return Transcript(text, told.score, times.round(_DIGITS).tolist())


_DIGITS = 6
"""Of a time in seconds: microseconds, and no dust of binary fractions."""

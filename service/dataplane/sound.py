"""Samples as steps: whole hops, and the samples after them, which wait for the rest of theirs."""

from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from service.artifact.tasks import AudioInput
from service.errors import InvalidInput
from service.sessions.session import SessionState

_LOUDEST_16_BIT = 32768


class Hops(np.ndarray[Any, np.dtype[np.float32]]):
    """Steps `[time, hop]` that remember the samples after them.

    An array like any other to all who hand steps on; a session keeps what waits.
    """

    waiting: NDArray[np.float32]

    @classmethod
    def of(cls, samples: NDArray[np.float32], hop: int) -> Self:
        whole = len(samples) // hop * hop
        hops = samples[:whole].reshape(-1, hop).view(cls)
        hops.waiting = samples[whole:].copy()
        return hops


def checked_samples(
    value: str | NDArray[Any], reads: AudioInput, *, param: str
) -> NDArray[np.float32]:
    """`[time]` of plain samples, or of hops `[time, hop]` side by side. Raises InvalidInput."""
    hop = reads.hop
    is_sound = not isinstance(value, str) and (
        value.ndim == 1 or (value.ndim == 2 and value.shape[1] == hop)
    )
    if isinstance(value, str) or not is_sound:
        raise InvalidInput(
            f"the model hears samples, [time] or in hops [time][{hop}], "
            f"{reads.sample_rate} a second",
            param=param,
            details={"hop": hop, "sample_rate": reads.sample_rate},
        )
    samples = value.reshape(-1).astype(np.float32, copy=False)
    outside = ~(np.abs(samples) <= 1)  # what is no number is outside, too
    if outside.any():
        raise InvalidInput(
            f"samples are from -1 to 1: divide those of 16 bits by {_LOUDEST_16_BIT}",
            param=f"{param}[{int(outside.argmax()) // (hop if value.ndim == 2 else 1)}]",
            details={"min": -1, "max": 1},
        )
    return samples


def heard_from(
    samples: NDArray[np.float32], state: SessionState, reads: AudioInput, *, param: str
) -> Hops:
    """The hops that `samples` complete. Raises InvalidInput where they complete none."""
    assert state.waiting is not None, "the state is that of a model that reads sound"
    hops = Hops.of(np.concatenate([state.waiting, samples]), reads.hop)
    if not len(hops):
        missing = reads.hop - len(state.waiting)
        raise InvalidInput(
            f"{len(samples)} samples complete no hop of {reads.hop}: send at least {missing}",
            param=param,
            details={"hop": reads.hop, "min": missing},
        )
    return hops

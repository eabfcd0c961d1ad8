"""What became of sessions that are gone: of the last ones, in a ring of 25 bytes each.

Nobody asks for most of them, so that remembering is to be cheap and looking one up may take a
look at every key: some 30 us among 100,000.
"""

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

Reason = Literal["ended", "expired", "evicted", "lost"]
_REASONS: tuple[Reason, ...] = get_args(Reason)


@dataclass(frozen=True, slots=True)
class Tombstone:
    reason: Reason
    at: float
    """Seconds since the epoch."""
    step: int


class Tombstones:
    """The newest takes the place of the oldest."""

    def __init__(self, most: int) -> None:
        self._count = 0
        """Of all there ever were."""
        # Arrays, not objects: 400 bytes each they were, in pieces that kept the memory around them
        # from being given back. A page is only taken when it is first written to.
        self._keys = np.zeros(most, np.int64)
        self._ends = np.zeros(most, np.float64)
        self._steps = np.zeros(most, np.int64)
        self._reasons = np.zeros(most, np.uint8)

    def put(self, tenant: str, session_id: str, tombstone: Tombstone) -> None:
        place = self._count % len(self._keys)
        self._count += 1
        self._keys[place] = _key(tenant, session_id)
        self._ends[place] = tombstone.at
        self._steps[place] = tombstone.step
        self._reasons[place] = _REASONS.index(tombstone.reason)

    def find(self, tenant: str, session_id: str) -> Tombstone | None:
        """The newest of that id."""
        size = len(self._keys)
        (places,) = np.nonzero(self._keys[: self._count] == _key(tenant, session_id))
        if not len(places):
            return None
        newest = places[np.argmin((self._count - 1 - places) % size)]
        reason = _REASONS[self._reasons[newest]]
        return Tombstone(reason, float(self._ends[newest]), int(self._steps[newest]))


def _key(tenant: str, session_id: str) -> int:
    """64 bits that nobody outside can choose: Python draws a key for its hashes at each start."""
    return hash((tenant, session_id))

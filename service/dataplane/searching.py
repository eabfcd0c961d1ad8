"""Texts searched for side by side: each by a beam of its own, all of their rows in one engine.

A beam's hypotheses are rows like any others. After each step those that live go on from the states
of those that they came from.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from service.artifact.beam import Beam, BeamParams, Candidate, Ended
from service.dataplane.reading import ends_of
from service.dataplane.sources import Begun
from service.engine.engine import Row, Submit
from service.engine.likeliest import Likeliest, Told
from service.errors import RecurError
from service.runtime.base import State


@dataclass(frozen=True, slots=True)
class Search:
    params: BeamParams
    start_token: int
    logits: str


async def search_all(
    begun: Sequence[Begun], search: Search, submit: Submit
) -> list[list[Ended] | RecurError]:
    """The texts of each source, best first; one that fails, fails alone."""
    beams = [_Searching(one, search) for one in begun]
    while live := [beam for beam in beams if not beam.done]:
        rows = [row for beam in live for row in beam.rows()]
        told = iter(await ends_of(submit(rows), Told))
        for beam in live:
            beam.take([next(told) for _ in range(beam.num_rows)])
    return [beam.found for beam in beams]


class _Searching:
    """One text's search. Mutable: each step takes it further."""

    def __init__(self, begun: Begun, search: Search) -> None:
        self._search = search
        self._memory = begun.memory
        self._states = [begun.state]
        """Of each hypothesis that lives."""
        self._beam = Beam(search.params)
        self._error: RecurError | None = None

    @property
    def done(self) -> bool:
        return self._error is not None or self._beam.done

    @property
    def num_rows(self) -> int:
        return len(self._states)

    @property
    def found(self) -> list[Ended] | RecurError:
        return self._error or self._beam.ranked

    def rows(self) -> list[Row]:
        """The next step of every hypothesis that lives."""
        search = self._search
        teller = Likeliest(search.logits, count=search.params.num_candidates)
        lasts = [hypothesis.tokens[-1:] or (search.start_token,) for hypothesis in self._beam.live]
        return [
            Row(np.array(last, np.int64), state, teller, self._memory)
            for last, state in zip(lasts, self._states, strict=True)
        ]

    def take(self, told: list[Told | RecurError]) -> None:
        """What came of the rows."""
        candidates, states = list[Sequence[Candidate]](), list[State]()
        for one in told:
            if isinstance(one, RecurError):
                self._error = one.kept()
                return
            candidates.append(one.candidates)
            states.append(one.state)
        self._states = [states[place] for place in self._beam.advance(candidates)]

"""What the network thinks of the next token: a step of a beam, which another row goes on from."""

from collections import defaultdict
from collections.abc import Sequence as Rows
from typing import ClassVar, NamedTuple, Self

import numpy as np

from service.artifact.beam import Candidate
from service.artifact.scores import likeliest_tokens
from service.engine.continuations import not_finite
from service.engine.row_output import RowOutput
from service.engine.sequence import Advance
from service.runtime.base import State


class Told(NamedTuple):
    """The one item of such a row."""

    candidates: list[Candidate]
    """Likeliest first."""
    state: State
    """After the step; views that keep the state of the whole batch alive."""


class Likeliest:
    """Reads to the end and tells the `count` likeliest tokens after it."""

    goes_on: ClassVar[bool] = False

    def __init__(self, logits: str, *, count: int) -> None:
        """`logits` is the output of `[steps, vocab]`."""
        self._logits = logits
        self._count = count

    @property
    def every_chunk(self) -> bool:
        return False

    @classmethod
    def accept(cls, rows: Rows[tuple[Self, RowOutput]]) -> list[Advance]:
        """Those that ask for as many are told together."""
        advances: list[Advance] = [Advance() for _ in rows]
        alike: defaultdict[int, list[int]] = defaultdict(list)
        for at, (asking, row) in enumerate(rows):
            if error := not_finite(row):
                advances[at] = Advance(error=error)
            else:
                alike[asking._count].append(at)
        for count, ats in alike.items():
            asking, row = rows[ats[0]]
            logits = row.batch.last(asking._logits)[[rows[at][1].place for at in ats]]
            told = likeliest_tokens(np.asarray(logits), count)
            for at, candidates in zip(ats, told, strict=True):
                item = Told(candidates, rows[at][1].state)
                advances[at] = Advance(item=item, done=True)
        return advances

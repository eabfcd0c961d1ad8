"""Decides which sequences step next, and how far. Pure: no clock, no threads, no arrays moved.

Each tenant, at each priority, has a line, and the line that has been served least, by its weight,
gives the next row (start-time fair queueing, Goyal et al. 1996): a heavy tenant cannot starve a
light one. Within a line rows keep their order of arrival until they are done, but for those that
have no end in sight, which go to the end of the line after their turn.

How far a batch goes is what the cost model finds cheapest per useful step: rows that end early
either pad the others' call or cut it short, and each has its price. Nothing ever waits for company.
"""

import heapq
import itertools
from collections import deque
from dataclasses import dataclass, field

from service.engine.cost import TYPICAL, CostModel
from service.engine.sequence import Flow, Sequence

_ROWS_SLACK = 1.04
_MANY_DEADLINES = 1024
_CANDIDATES_PER_ROW = 4
"""Of sequences that cannot be cut, so many are looked at for each that a call may hold."""


@dataclass(frozen=True, slots=True)
class SchedulerConfig:
    """Rows beat steps: wide batches of short chunks use the processor best."""

    max_rows: int = 64
    chunk_steps: int = 16
    """Most steps of one call for sequences that can be cut in time."""
    max_padded_steps: int = 1024
    """Rows times longest chunk of one call; it bounds the runtime's scratch memory."""
    lonely_padded_steps: int = 256
    """A batch of few rows takes longer chunks, up to this many row steps in all."""
    patient_steps: int = 512
    """Steps after which a sequence loses its place in the line at every turn."""


@dataclass(frozen=True, slots=True)
class Batch:
    rows: list[Sequence]
    steps: int
    """The longest chunk; a row with less left is padded."""
    single: bool = False
    """Whether each row's whole input is one step."""


class Scheduler:
    """`whole`: sequences cannot be cut in time, a chunk is all that remains of one."""

    def __init__(self, config: SchedulerConfig, *, whole: bool, cost: CostModel = TYPICAL) -> None:
        self._config = config
        self._whole = whole
        self._cost = cost
        self._enough_rows = cost.enough_rows(
            steps=config.chunk_steps, most=config.max_rows, slack=_ROWS_SLACK
        )
        """Of a call of chunks: more would make each later and hardly any cheaper."""
        self._lines: dict[Flow, _Line] = {}
        self._deadlines: list[tuple[float, int, Sequence]] = []
        self._numbers = itertools.count()
        self._served = 0.0
        """How far the line that was served last had come, by its weight."""
        self._single_turn = True

    def __bool__(self) -> bool:
        return any(line.singles or line.chunks for line in self._lines.values())

    def add(self, sequence: Sequence) -> None:
        """Join the line. The sequence has at least one step left."""
        assert sequence.remaining > 0, "a sequence without steps has nothing to wait for"
        if sequence.deadline is not None:
            self._watch_deadline(sequence.deadline, sequence)
        line = self._line_of(sequence)
        if not line.singles and not line.chunks:
            # Who was away has saved nothing up.
            line.served = max(line.served, self._served)
        line.waiting(sequence.single).append(sequence)

    def put_back(self, rows: list[Sequence]) -> None:
        """Unfinished rows rejoin: before those waiting, or behind them where no end is in sight."""
        patient = self._config.patient_steps
        first = [row for row in rows if not row.goes_on and row.steps_taken < patient]
        for row in reversed(first):
            self._line_of(row).waiting(row.single).appendleft(row)
        if len(first) < len(rows):
            for row in rows:
                if row.goes_on or row.steps_taken >= patient:
                    self._line_of(row).waiting(row.single).append(row)

    def next_batch(self, now: float) -> Batch | None:
        """The rows to step now, or None. Dropped and expired sequences are passed over.

        Rows of one step and rows of more take turns and never share a call.
        """
        for single in (self._single_turn, not self._single_turn):
            batch = self._batch(single=single, now=now)
            if batch is not None:
                self._single_turn = not single
                self._charge(batch)
                return batch
        return None

    def expire(self, now: float) -> list[Sequence]:
        """The waiting sequences whose deadline has passed; they will not be stepped."""
        expired: list[Sequence] = []
        while self._deadlines and (self._deadlines[0][0] <= now or self._deadlines[0][2].dropped):
            _, _, sequence = heapq.heappop(self._deadlines)
            if not sequence.dropped:
                expired.append(sequence)
        return expired

    @property
    def num_deadlines(self) -> int:
        """That are watched, those of answered sequences included."""
        return len(self._deadlines)

    def clear(self) -> list[Sequence]:
        """Everything that waits, taken out."""
        waiting = [row for line in self._lines.values() for row in (*line.singles, *line.chunks)]
        self._lines.clear()
        self._deadlines.clear()
        return waiting

    def _batch(self, *, single: bool, now: float) -> Batch | None:
        if single:
            rows = self._take(self._config.max_rows, single=True, now=now)
            return Batch(rows, 1, single=True) if rows else None
        if self._whole:
            most = self._config.max_rows * _CANDIDATES_PER_ROW
            candidates = self._take(most, single=False, now=now)
            return self._alike(candidates) if candidates else None
        rows = self._take(self._enough_rows, single=False, now=now)
        return Batch(rows, self._steps(rows)) if rows else None

    def _take(self, most: int, *, single: bool, now: float) -> list[Sequence]:
        """Up to `most` rows in fair order, taken out of their lines."""
        turns = [
            (line.served, number, line)
            for number, line in enumerate(self._lines.values())
            if line.waiting(single)
        ]
        if not turns:
            return []
        heapq.heapify(turns)
        self._served = turns[0][0]
        rows: list[Sequence] = []
        while len(turns) > 1 and len(rows) < most:
            served, number, line = turns[0]
            sequence = _first_there(line.waiting(single), now)
            if sequence is None:
                heapq.heappop(turns)
                continue
            rows.append(sequence)
            share = min(sequence.remaining, self._config.chunk_steps) / sequence.flow.weight
            heapq.heapreplace(turns, (served + share, number, line))
        waiting = turns[0][2].waiting(single)
        while len(rows) < most and (sequence := _first_there(waiting, now)) is not None:
            rows.append(sequence)
        return rows

    def _charge(self, batch: Batch) -> None:
        """Of a tenant alone no account is kept: it starts level with the next that comes."""
        if len(self._lines) > 1:
            for sequence in batch.rows:
                line = self._line_of(sequence)
                line.served += min(sequence.remaining, batch.steps) / sequence.flow.weight

    def _steps(self, rows: list[Sequence]) -> int:
        """The chunk whose useful row steps are cheapest, padding and all."""
        config, count = self._config, len(rows)
        longest = max(config.chunk_steps, config.lonely_padded_steps // count)
        longest = max(1, min(longest, config.max_padded_steps // count))
        best, best_rate = 1, 0.0
        ended = 0
        lengths = sorted(min(sequence.remaining, longest) for sequence in rows)
        for place, steps in enumerate(lengths):
            useful = ended + steps * (count - place)
            rate = useful / self._cost.seconds(count, steps)
            if rate >= best_rate:
                best, best_rate = steps, rate
            ended += steps
        return best

    def _alike(self, candidates: list[Sequence]) -> Batch:
        """The first in line and those nearest to its length, as many as make a step cheaper.

        The others go back to where they were.
        """
        first = candidates[0]
        by_length = sorted(candidates, key=_remaining)
        window = _Window(by_length, by_length.index(first), self._config, self._cost)
        while window.grow():
            continue
        rows = window.rows
        chosen = set(map(id, rows))
        for sequence in reversed(candidates):
            if id(sequence) not in chosen:
                self._line_of(sequence).chunks.appendleft(sequence)
        return Batch(rows, rows[-1].remaining)

    def _line_of(self, sequence: Sequence) -> "_Line":
        line = self._lines.get(sequence.flow)
        if line is None:
            line = self._lines[sequence.flow] = _Line(self._served)
        return line

    def _watch_deadline(self, deadline: float, sequence: Sequence) -> None:
        heap = self._deadlines
        if len(heap) >= _MANY_DEADLINES and len(heap) & (len(heap) - 1) == 0:
            # Looked through whenever it has doubled: the answered ones must not pile up.
            heap[:] = [entry for entry in heap if not entry[2].dropped]
            heapq.heapify(heap)
        heapq.heappush(heap, (deadline, next(self._numbers), sequence))


@dataclass(slots=True)
class _Line:
    """Of one tenant at one priority."""

    served: float
    """Steps that it was given, by its weight."""
    singles: deque[Sequence] = field(default_factory=deque[Sequence])
    """Sequences whose whole input is one step."""
    chunks: deque[Sequence] = field(default_factory=deque[Sequence])

    def waiting(self, single: bool) -> deque[Sequence]:
        return self.singles if single else self.chunks


class _Window:
    """Neighbours by length; it grows to the side that makes a useful step cheapest."""

    def __init__(
        self, by_length: list[Sequence], place: int, config: SchedulerConfig, cost: CostModel
    ) -> None:
        self._all = by_length
        self._low, self._high = place, place + 1
        self._useful = by_length[place].remaining
        self._config, self._cost = config, cost

    @property
    def rows(self) -> list[Sequence]:
        """Shortest first."""
        return self._all[self._low : self._high]

    def grow(self) -> bool:
        """Take one row more; False where no row is left, or none makes a step cheaper."""
        count = self._high - self._low + 1
        longest = self._all[self._high - 1].remaining
        best_rate = self._useful / self._cost.seconds(count - 1, longest)
        best = None
        for place in (self._low - 1, self._high):
            if not 0 <= place < len(self._all) or count > self._config.max_rows:
                continue
            steps = max(longest, self._all[place].remaining)
            rate = (self._useful + self._all[place].remaining) / self._cost.seconds(count, steps)
            if rate > best_rate and count * steps <= self._config.max_padded_steps:
                best, best_rate = place, rate
        if best is None:
            return False
        self._useful += self._all[best].remaining
        self._low, self._high = min(self._low, best), max(self._high, best + 1)
        return True


def _first_there(line: deque[Sequence], now: float) -> Sequence | None:
    """The first that somebody still waits for, taken out; those before it are let go."""
    while line:
        sequence = line.popleft()
        if not sequence.dropped and (sequence.deadline is None or sequence.deadline > now):
            return sequence
    return None


def _remaining(sequence: Sequence) -> int:
    return sequence.remaining

"""Decides which sequences step next. Pure: no clock, no threads, no arrays moved.

Sequences wait in lines by the length of their next chunk, a line for each power of two, so that
the rows of a batch differ by less than a factor of two and padding stays under half. The line
whose head has waited longest goes next, and a row that is not finished rejoins at the end of its
line: nobody starves, and a batch is never held back for company.
"""

import heapq
from collections import deque
from dataclasses import dataclass

from service.engine.sequence import Sequence


@dataclass(frozen=True, slots=True)
class SchedulerConfig:
    """Rows beat steps: wide batches of short chunks use the processor best."""

    max_rows: int = 64
    chunk_steps: int = 16
    """Steps of one call for a sequence that can be cut in time."""
    max_padded_steps: int = 1024
    """Rows times longest chunk of one call; it bounds the runtime's scratch memory."""
    lonely_padded_steps: int = 256
    """A batch of few rows takes longer chunks, up to this many row steps in all."""


@dataclass(frozen=True, slots=True)
class Batch:
    rows: list[Sequence]
    steps: int
    """The longest chunk; a row with less left is padded."""


class Scheduler:
    """`whole`: sequences cannot be cut in time, a chunk is all that remains of one."""

    def __init__(self, config: SchedulerConfig, *, whole: bool) -> None:
        self._config = config
        self._whole = whole
        self._lines: dict[int, deque[Sequence]] = {}
        self._deadlines: list[tuple[float, int, Sequence]] = []

    def __bool__(self) -> bool:
        return any(self._lines.values())

    def add(self, sequence: Sequence) -> None:
        """Join the line. The sequence has at least one step left."""
        assert sequence.remaining > 0, "a sequence without steps has nothing to wait for"
        if sequence.deadline is not None:
            entry = (sequence.deadline, sequence.ticket, sequence)
            heapq.heappush(self._deadlines, entry)
        self._join(sequence)

    def put_back(self, batch: Batch) -> None:
        """Unfinished rows rejoin behind those waiting."""
        for sequence in batch.rows:
            sequence.to_the_end_of_the_line()
            self._join(sequence)

    def next_batch(self, now: float) -> Batch | None:
        """The rows to step now, or None. Dropped and expired sequences are passed over."""
        for line in self._lines.values():
            while line and _is_gone(line[0], now):
                line.popleft()
        waiting = [line for line in self._lines.values() if line]
        if not waiting:
            return None
        line = min(waiting, key=lambda line: line[0].ticket)
        rows: list[Sequence] = []
        longest = 0
        while line and len(rows) < self._config.max_rows:
            sequence = line[0]
            if _is_gone(sequence, now):
                line.popleft()
                continue
            steps = max(longest, self._chunk(sequence))
            if rows and steps * (len(rows) + 1) > self._config.max_padded_steps:
                break
            rows.append(line.popleft())
            longest = steps
        if not rows:  # the callers left between the two looks
            return None
        return Batch(rows, self._stretch(rows, longest))

    def expire(self, now: float) -> list[Sequence]:
        """The waiting sequences whose deadline has passed; they will not be stepped."""
        expired: list[Sequence] = []
        while self._deadlines and (self._deadlines[0][0] <= now or self._deadlines[0][2].dropped):
            _, _, sequence = heapq.heappop(self._deadlines)
            if not sequence.dropped:
                expired.append(sequence)
        return expired

    def clear(self) -> list[Sequence]:
        """Everything that waits, taken out."""
        waiting = [sequence for line in self._lines.values() for sequence in line]
        self._lines.clear()
        self._deadlines.clear()
        return waiting

    def _join(self, sequence: Sequence) -> None:
        line = self._chunk(sequence).bit_length()
        self._lines.setdefault(line, deque()).append(sequence)

    def _chunk(self, sequence: Sequence) -> int:
        if self._whole:
            return sequence.remaining
        return min(sequence.remaining, self._config.chunk_steps)

    def _stretch(self, rows: list[Sequence], steps: int) -> int:
        """Few rows that all have more to do take more of it, without any padding."""
        if self._whole or steps < self._config.chunk_steps:
            return steps
        return max(
            steps,
            min(
                self._config.lonely_padded_steps // len(rows),
                min(sequence.remaining for sequence in rows),
            ),
        )


def _is_gone(sequence: Sequence, now: float) -> bool:
    return sequence.dropped or (sequence.deadline is not None and sequence.deadline <= now)

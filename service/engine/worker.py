"""Where turns are taken: on a thread of their own, or on the event loop between two of its own."""

import asyncio
import queue
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from service.engine.lanes import Lane, Turns
from service.engine.sequence import Sequence


class Worker(Protocol):
    """Its methods are the event loop's."""

    def put(self, lane: Lane, sequences: list[Sequence]) -> None:
        """In one piece, so that it does not set out with the first row alone."""
        ...

    def end(self, lane: Lane | None, *, ended: Callable[[], None]) -> None:
        """What still waits fails with Draining; then `ended` is called, wherever the worker runs.

        Without a lane, all of them, and the worker with them.
        """
        ...

    def join(self) -> None:
        """Wait for the end; may block."""
        ...


class LoopWorker:
    """For short calls: a hop to another thread and back costs more than they do.

    It takes one turn in each turn of the loop, so that what the loop waits for comes in between.
    """

    def __init__(self) -> None:
        self._turns = Turns()
        self._due = False
        # Asked for at every turn, the loop would cost a system call each.
        self._loop: asyncio.AbstractEventLoop | None = None

    def put(self, lane: Lane, sequences: list[Sequence]) -> None:
        self._turns.add(lane, sequences)
        self._take_later()

    def end(self, lane: Lane | None, *, ended: Callable[[], None]) -> None:
        self._turns.clear(lane)
        ended()

    def join(self) -> None:
        return

    def _take_later(self) -> None:
        if not self._due:
            self._due = True
            if self._loop is None:
                self._loop = asyncio.get_running_loop()
            self._loop.call_soon(self._take)

    def _take(self) -> None:
        self._due = False
        if self._turns:
            self._turns.take()
            self._turns.hand_over()  # nothing runs beside a call on the loop
        if self._turns:
            self._take_later()


@dataclass(frozen=True, slots=True)
class _Put:
    lane: Lane
    sequences: list[Sequence]


@dataclass(frozen=True, slots=True)
class _End:
    lane: Lane | None
    ended: Callable[[], None]


class ThreadWorker:
    """The thread begins with the first work, and sleeps while there is none."""

    def __init__(self, name: str) -> None:
        self._turns = Turns()
        self._inbox: queue.SimpleQueue[_Put | _End] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def put(self, lane: Lane, sequences: list[Sequence]) -> None:
        if self._thread.ident is None:
            self._thread.start()
        self._inbox.put(_Put(lane, sequences))

    def end(self, lane: Lane | None, *, ended: Callable[[], None]) -> None:
        if self._thread.is_alive():
            self._inbox.put(_End(lane, ended))
        else:
            ended()

    def join(self) -> None:
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        while self._take_in():
            if self._turns:
                self._turns.take()

    def _take_in(self) -> bool:
        """Move the inbox into the lanes, waiting only while idle; False when the thread ends."""
        while not (self._turns and self._inbox.empty()):
            if not self._turns:
                self._turns.hand_over()
            match self._inbox.get():
                case _Put(lane, sequences):
                    self._turns.add(lane, sequences)
                case _End(lane, ended):
                    self._turns.clear(lane)
                    ended()
                    if lane is None:
                        return False
        return True

"""Loads a server: closed, where each lane waits for its answer, or open, where arrivals do not.

In the open loop a request is due at its place in a Poisson process and its latency counts from
then, whether or not a lane was free: a slow server cannot make its load lighter.
"""

import asyncio
import contextlib
import gc
import time
from collections import deque
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from tests.load.connection import Connection, Socket
from tests.load.server import Server, machine_cpu_seconds
from tests.load.wire import Request
from tests.load.workload import Work

_KEPT_LANES, _KEPT_ANSWERS = 2, 200


class LoadFailed(Exception):
    """An answer was an error, or never came; the text has the first one."""


@dataclass(frozen=True, slots=True)
class Load:
    seconds: float
    warm_seconds: float = 1.0
    rate: float | None = None
    """Requests a second of the open loop; None is the closed one."""
    seed: int = 11


@dataclass(frozen=True, slots=True)
class Answer:
    request: Request
    body: bytes


Answers = tuple[tuple[Answer, ...], ...]
"""By lane, those to its first requests, in order: enough to follow a session."""


@dataclass(frozen=True, slots=True)
class Measured:
    """What came back in the measured time; CPU in seconds, of that time alone."""

    seconds: float
    units: int
    """Rows answered, or tokens that arrived."""
    latencies: NDArray[np.float64]
    """Seconds from due to the last byte, of each answer."""
    first: NDArray[np.float64]
    """Seconds from due to the first event, or to the first byte where there are no events."""
    server_cpu: float
    client_cpu: float
    other_cpu: float
    """Of all other processes of the machine."""
    kept: Answers
    """Of the first lanes, to be checked."""


async def once(port: int, work: Work) -> Answers:
    """Every request of every lane, the lanes side by side."""
    async with _connected(port, work) as lanes:
        return tuple(await asyncio.gather(*(_round(c, work.lanes[c.lane]) for c in lanes)))


async def drive(server: Server, work: Work, load: Load) -> Measured:
    """Run the load once. Raises LoadFailed at the first answer that is not a 200."""
    async with _connected(server.port, work) as lanes:
        gc.collect()
        gc.disable()  # what it would stop for are only our own requests and figures
        try:
            return await _Run(server, work, load, lanes=lanes).measure()
        finally:
            gc.enable()


@contextlib.asynccontextmanager
async def _connected(port: int, work: Work) -> AsyncGenerator[list[Connection]]:
    lanes: list[Connection] = []
    try:
        for lane in range(len(work.lanes)):
            lanes.append(await _connect(port, Connection(lane)))
            for request in work.opening[lane] if work.opening else ():
                await _ask(lanes[lane], request, expected=(200, 201))
        for lane, handshake in enumerate(work.handshakes):
            lanes[lane].close()
            lanes[lane] = await _connect(port, Socket(lane))
            await _ask(lanes[lane], handshake, expected=(101,))
        yield lanes
    finally:
        for connection in lanes:
            connection.on_answer = lambda _: None
            connection.close()


async def _connect(port: int, connection: Connection) -> Connection:
    loop = asyncio.get_running_loop()
    await loop.create_connection(lambda: connection, "127.0.0.1", port)
    return connection


async def _ask(connection: Connection, request: Request, *, expected: tuple[int, ...]) -> Answer:
    body = await connection.ask(request)
    if connection.status not in expected:
        raise LoadFailed(f"status {connection.status}: {body[:500]!r}")
    return Answer(request, body)


async def _round(connection: Connection, requests: tuple[Request, ...]) -> tuple[Answer, ...]:
    return tuple([await _ask(connection, request, expected=(200,)) for request in requests])


@dataclass(frozen=True, slots=True)
class _Usage:
    at: float
    server: float
    client: float
    machine: float
    num_events: int


@dataclass(slots=True)
class _Samples:
    latencies: list[float] = field(default_factory=list[float])
    first: list[float] = field(default_factory=list[float])
    rows: int = 0
    ends: int = 0
    """Of streams."""


class _Run:
    def __init__(self, server: Server, work: Work, load: Load, *, lanes: list[Connection]) -> None:
        self._server, self._work, self._load, self._lanes = server, work, load, lanes
        for connection in lanes:
            connection.on_answer = self._on_answer
        self._turns = [0] * len(lanes)
        self._idle: deque[Connection] = deque()
        self._backlog: deque[float] = deque()
        self._samples = _Samples()
        self._events_of_ended = 0
        self._kept: list[list[Answer]] = [[] for _ in lanes[:_KEPT_LANES]]
        self._measuring = False
        self._failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def measure(self) -> Measured:
        arrivals: asyncio.Task[None] | None = None
        if self._load.rate is None:
            for connection in self._lanes:
                self._send(connection, time.perf_counter())
        else:
            self._idle.extend(self._lanes)
            arrivals = asyncio.create_task(self._arrive(self._load.rate))
        try:
            await self._pass(self._load.warm_seconds)
            before = self._usage()
            self._measuring = True
            await self._pass(self._load.seconds)
            self._measuring = False
            return self._measured(before, self._usage())
        finally:
            if arrivals is not None:
                arrivals.cancel()
            self._failed.cancel()

    async def _pass(self, seconds: float) -> None:
        await asyncio.wait([self._failed], timeout=seconds)
        if self._failed.done():
            self._failed.result()

    async def _arrive(self, rate: float) -> None:
        total = self._load.warm_seconds + self._load.seconds
        gaps = np.random.default_rng(self._load.seed).exponential(1 / rate, int(rate * total) + 1)
        for due in time.perf_counter() + np.cumsum(gaps):
            if (wait := float(due) - time.perf_counter()) > 0:
                await asyncio.sleep(wait)
            if self._idle:
                self._send(self._idle.popleft(), float(due))
            else:
                self._backlog.append(float(due))

    def _send(self, connection: Connection, due: float) -> None:
        requests = self._work.lanes[connection.lane]
        turn = self._turns[connection.lane]
        self._turns[connection.lane] = turn + 1
        connection.send(requests[turn % len(requests)], since=due)

    def _on_answer(self, connection: Connection) -> None:
        now = time.perf_counter()
        if self._failed.done():
            return
        if reason := self._unfit(connection):
            self._failed.set_exception(LoadFailed(f"{reason}: {connection.body[-500:]!r}"))
            return
        request = connection.request
        if connection.lane < len(self._kept):
            answers = self._kept[connection.lane]
            if len(answers) < _KEPT_ANSWERS:
                answers.append(Answer(request, connection.body))
        self._events_of_ended += connection.num_events
        if self._measuring:
            self._samples.latencies.append(now - connection.since)
            self._samples.first.append(connection.first_at - connection.since)
            self._samples.rows += len(request.rows)
            self._samples.ends += request.num_tokens > 0
        if self._load.rate is None:
            self._send(connection, now)
        elif self._backlog:
            self._send(connection, self._backlog.popleft())
        else:
            self._idle.append(connection)

    def _unfit(self, connection: Connection) -> str:
        """Why the last answer does not count; empty where it does."""
        if connection.status != 200:
            return f"status {connection.status}"
        num_tokens = connection.request.num_tokens
        if num_tokens and connection.num_events != num_tokens + self._work.wire.events_at_end:
            return f"{connection.num_events} events for {num_tokens} tokens"
        return ""

    def _usage(self) -> _Usage:
        under_way = sum(connection.num_events for connection in self._lanes if connection.busy)
        return _Usage(
            time.perf_counter(),
            self._server.cpu_seconds(),
            time.process_time(),
            machine_cpu_seconds(),
            self._events_of_ended + under_way,
        )

    def _measured(self, before: _Usage, after: _Usage) -> Measured:
        server = after.server - before.server
        client = after.client - before.client
        ends = self._samples.ends
        tokens = after.num_events - before.num_events - ends * self._work.wire.events_at_end
        return Measured(
            seconds=after.at - before.at,
            units=tokens if self._work.part == "generate" else self._samples.rows,
            latencies=np.array(self._samples.latencies),
            first=np.array(self._samples.first),
            server_cpu=server,
            client_cpu=client,
            other_cpu=max(0.0, after.machine - before.machine - server - client),
            kept=tuple(map(tuple, self._kept)),
        )

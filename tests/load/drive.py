"""Loads the server: closed, where each lane waits for its answer, or open, where arrivals do not.

In the open loop a request is due at its place in a Poisson process and its latency counts from
then, whether or not a lane was free: a slow server cannot make its load lighter.
"""

import asyncio
import time
from collections import deque
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from tests.load.connection import Connection
from tests.load.server import Server, machine_cpu_seconds
from tests.load.wire import Request
from tests.load.workload import Work

_KEPT_LANES, _KEPT_ANSWERS = 2, 2000


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


@dataclass(frozen=True, slots=True)
class Measured:
    """What came back in the measured time; CPU in seconds, of that time alone."""

    seconds: float
    latencies: NDArray[np.float64]
    """Seconds from due to the last byte, of each answer."""
    first: NDArray[np.float64]
    """Seconds from due to the first byte."""
    lateness: NDArray[np.float64]
    """Seconds from due to sent: what a backlog, and the client's own clock, add (open loop)."""
    tokens: int
    server_cpu: float
    client_cpu: float
    other_cpu: float
    """Of all other processes of the machine."""
    rows_a_call: float
    """Mean rows of the runtime's calls, the warm-up's included."""
    kept: tuple[tuple[Answer, ...], ...]
    """By lane, the first answers of the first lanes since the very beginning, to be checked."""


async def drive(server: Server, work: Work, load: Load) -> Measured:
    """Run the load once. Raises LoadFailed at the first answer that is not a 200 or 201."""
    run = _Run(server, work, load)
    try:
        await run.connect()
        return await run.measure()
    finally:
        run.close()


@dataclass(frozen=True, slots=True)
class _Usage:
    at: float
    server: float
    client: float
    machine: float


@dataclass(slots=True)
class _Samples:
    latencies: list[float] = field(default_factory=list[float])
    first: list[float] = field(default_factory=list[float])
    lateness: list[float] = field(default_factory=list[float])
    tokens: int = 0


class _Run:
    def __init__(self, server: Server, work: Work, load: Load) -> None:
        self._server, self._work, self._load = server, work, load
        self._lanes: list[Connection] = []
        self._turns = [0] * len(work.lanes)
        self._idle: deque[Connection] = deque()
        self._backlog: deque[float] = deque()
        self._samples = _Samples()
        self._kept: list[list[Answer]] = [[] for _ in work.lanes[:_KEPT_LANES]]
        self._measuring = False
        self._calls = server.calls(work.model)
        self._failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def connect(self) -> None:
        loop = asyncio.get_running_loop()
        for lane in range(len(self._work.lanes)):
            _, connection = await loop.create_connection(
                lambda lane=lane: Connection(lane, self._on_answer), "127.0.0.1", self._server.port
            )
            self._lanes.append(connection)
        await _open(self._server.port, self._work.opening)

    async def measure(self) -> Measured:
        if self._load.rate is None:
            for connection in self._lanes:
                self._send(connection, time.perf_counter())
            arrivals = None
        else:
            self._idle.extend(self._lanes)
            arrivals = asyncio.create_task(self._arrive(self._load.rate))
        try:
            await self._pass(self._load.warm_seconds)
            before = self._usage()
            self._measuring = True
            await self._pass(self._load.seconds)
            self._measuring = False
            after = self._usage()
        finally:
            if arrivals is not None:
                arrivals.cancel()
        return self._measured(before, after)

    def close(self) -> None:
        self._failed.cancel()
        for connection in self._lanes:
            connection.close()

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
        if self._measuring and self._load.rate is not None:
            self._samples.lateness.append(time.perf_counter() - due)
        connection.send(requests[turn % len(requests)], since=due)

    def _on_answer(self, connection: Connection) -> None:
        now = time.perf_counter()
        if self._failed.done():
            return
        if connection.status != 200:
            text = f"status {connection.status}: {connection.body[:500]!r}"
            self._failed.set_exception(LoadFailed(text))
            return
        if connection.lane < len(self._kept):
            answers = self._kept[connection.lane]
            if len(answers) < _KEPT_ANSWERS:
                answers.append(Answer(connection.request, connection.body))
        if self._measuring:
            self._samples.latencies.append(now - connection.since)
            self._samples.first.append(connection.first_at - connection.since)
            self._samples.tokens += connection.request.num_tokens
        if self._load.rate is None:
            self._send(connection, now)
        elif self._backlog:
            self._send(connection, self._backlog.popleft())
        else:
            self._idle.append(connection)

    def _usage(self) -> _Usage:
        return _Usage(
            time.perf_counter(),
            self._server.cpu_seconds(),
            time.process_time(),
            machine_cpu_seconds(),
        )

    def _measured(self, before: _Usage, after: _Usage) -> Measured:
        server = after.server - before.server
        client = after.client - before.client
        calls = self._server.calls(self._work.model)
        return Measured(
            seconds=after.at - before.at,
            latencies=np.array(self._samples.latencies),
            first=np.array(self._samples.first),
            lateness=np.array(self._samples.lateness),
            tokens=self._samples.tokens,
            server_cpu=server,
            client_cpu=client,
            other_cpu=max(0.0, after.machine - before.machine - server - client),
            rows_a_call=(calls.rows - self._calls.rows) / max(1, calls.count - self._calls.count),
            kept=tuple(map(tuple, self._kept)),
        )


async def _open(port: int, requests: tuple[bytes, ...]) -> None:
    """Send each one alone, outside the measured time."""
    for request in requests:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(request)
        head = await reader.readuntil(b"\r\n\r\n")
        writer.close()
        if int(head[9:12]) != 201:
            raise LoadFailed(f"a session was not opened: {head!r}")

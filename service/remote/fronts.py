"""Starts the front processes, starts one anew that died, and ends them all.

Each front listens on the port by itself, and the system spreads connections over them.
"""

import asyncio
import socket
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field

import structlog

from service.remote.host import Host
from service.remote.messages import Stop

_log = structlog.get_logger(__name__)

_END_SECONDS = 5.0
_PAUSE_SECONDS = 1.0
"""Before a front that died is started anew."""


@dataclass(slots=True, eq=False)
class _Front:
    host: Host
    process: subprocess.Popen[bytes]
    lost: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when its end of the link is closed: it has ended, or is about to."""
    watch: asyncio.Task[None] = field(init=False)


class Fronts:
    """`connect` makes the engine's end of a link; it is called once for each process started."""

    def __init__(
        self,
        *,
        count: int,
        address: tuple[str, int],
        connect: Callable[[Callable[[Host], None]], Host],
        on_failure: Callable[[], None],
    ) -> None:
        """`address` is a host and a port; port 0 takes a free one."""
        self._count = count
        self._address = address
        self._connect = connect
        self._on_failure = on_failure
        self._fronts: list[_Front] = []
        self._reserved: socket.socket | None = None
        self._ending = False

    @property
    def pids(self) -> list[int]:
        """Of those that run."""
        return [front.process.pid for front in self._fronts]

    async def start(self) -> None:
        """Raises OSError where the address cannot be had."""
        self._reserved = _reserve(self._address)
        host, port = self._reserved.getsockname()[:2]
        self._address = (host, port)
        _log.info("fronts started", host=host, port=port, processes=self._count)
        for _ in range(self._count):
            await self._start_one()

    def announce(self) -> None:
        """Tell every front how the service stands."""
        for front in self._fronts:
            front.host.announce()

    async def end(self, timeout_seconds: float) -> None:
        """Let them finish what they write; kill whoever takes longer."""
        self._ending = True
        for front in self._fronts:
            front.host.link.send(Stop())
        watches = [front.watch for front in self._fronts]
        if watches:
            _, late = await asyncio.wait(watches, timeout=timeout_seconds)
            for front in self._fronts:
                if front.watch in late:
                    front.process.kill()  # which closes its end of the link
            await asyncio.wait(watches)
        if self._reserved is not None:
            self._reserved.close()

    async def _start_one(self) -> None:
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        host = self._connect(self._lost)
        loop = asyncio.get_running_loop()
        await loop.create_connection(lambda: host.link, sock=ours)
        address, port = self._address
        command = [sys.executable, "-m", "service.front", str(theirs.fileno()), address, str(port)]
        with theirs:
            # In a group of its own: an interrupt from a terminal is for the first process only.
            process = subprocess.Popen(  # noqa: ASYNC220 - a few milliseconds, once
                command, pass_fds=[theirs.fileno()], process_group=0
            )
        front = _Front(host, process)
        front.watch = asyncio.create_task(self._watch(front))
        self._fronts.append(front)
        host.announce()

    async def _watch(self, front: _Front) -> None:
        await front.lost.wait()
        status = await asyncio.to_thread(_wait, front.process)
        if self._ending:
            return
        self._fronts.remove(front)
        _log.error("front ended", status=status)
        await asyncio.sleep(_PAUSE_SECONDS)
        try:
            await self._start_one()
        except OSError as error:
            _log.error("front cannot be started", reason=str(error))
            self._on_failure()

    def _lost(self, host: Host) -> None:
        for front in self._fronts:
            if front.host is host:
                front.lost.set()


def _wait(process: subprocess.Popen[bytes]) -> int:
    """The exit status of a front without a link: it ends by itself, or is helped."""
    try:
        return process.wait(_END_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        return process.wait()


def _reserve(address: tuple[str, int]) -> socket.socket:
    """Hold the address without listening, so that the fronts can share it and nobody else can.

    Sharing is asked for in a second step: the first one fails where somebody else listens.
    """
    family, kind, _, _, resolved = socket.getaddrinfo(*address, type=socket.SOCK_STREAM)[0]
    with socket.socket(family, kind) as alone:
        alone.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        alone.bind(resolved)
        taken = alone.getsockname()
    shared = socket.socket(family, kind)
    shared.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    shared.bind(taken)
    return shared

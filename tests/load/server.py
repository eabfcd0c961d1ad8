"""A server under load, in a session of processes of its own: start it, ask what it used, end it."""

import contextlib
import http.client
import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.e2e.server import free_port

ROOT = Path(__file__).resolve().parents[2]
_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_START_SECONDS, _STOP_SECONDS = 120.0, 30.0


class ServerFailed(Exception):
    """The server did not start, or did not end as it should; the text has its log's end."""


@dataclass(frozen=True, slots=True)
class Launch:
    """What to start. `{port}` and `{folder}`, an empty one, may stand in the environment."""

    command: Sequence[str]
    environment: Mapping[str, str]
    ready_path: str
    ends_cleanly: bool = True
    """Whether SIGTERM must bring exit status 0; otherwise it is killed."""


class Server:
    """Ready when the context begins; none of its processes is left when it ends."""

    def __init__(self, launch: Launch) -> None:
        self.port = free_port()
        self._launch = launch
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the server
        self._folder = tempfile.TemporaryDirectory(prefix="recur-load-")
        filled = {
            name: value.format(port=self.port, folder=self._folder.name)
            for name, value in launch.environment.items()
        }
        self._began = time.monotonic()
        self._process = subprocess.Popen(
            launch.command,
            cwd=ROOT,
            env=os.environ | filled,
            stdout=self._log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        self.start_seconds = 0.0
        """From the command to ready."""

    def __enter__(self) -> Self:
        try:
            self._wait_until_ready()
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            if error is not None:
                error.add_note(f"the server's log ends with\n{self.log_end()}")
            elif self._launch.ends_cleanly:
                self._stop()
        finally:
            self._end()

    def _stop(self) -> None:
        self._process.send_signal(signal.SIGTERM)
        try:
            status = self._process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            raise ServerFailed("the server did not end after SIGTERM") from None
        if status != 0:
            raise ServerFailed(f"the server ended with status {status}\n{self.log_end()}")

    @property
    def pid(self) -> int:
        return self._process.pid

    def cpu_seconds(self) -> float:
        """Of all its processes, in user and in kernel mode, since they started."""
        return sum(process.cpu_seconds for process in processes(self.pid))

    def memory_bytes(self) -> int:
        """Resident, of all its processes; what they share counts for each."""
        return sum(process.resident_bytes for process in processes(self.pid))

    def errors(self) -> list[str]:
        """Lines of its log, where that is JSON, that tell of an error."""
        self._log.seek(0)
        return [line.decode() for line in self._log if b'"level":"error"' in line]

    def log_end(self) -> str:
        self._log.seek(0)
        return self._log.read()[-4000:].decode(errors="replace")

    def _wait_until_ready(self) -> None:
        ends = time.monotonic() + _START_SECONDS
        while _status(self.port, self._launch.ready_path) != 200:
            if self._process.poll() is not None or time.monotonic() > ends:
                raise ServerFailed(f"the server did not become ready\n{self.log_end()}")
            time.sleep(0.02)
        self.start_seconds = time.monotonic() - self._began

    def _end(self) -> None:
        for process in processes(self.pid):
            with contextlib.suppress(ProcessLookupError):  # it has ended since
                os.kill(process.pid, signal.SIGKILL)
        self._process.wait()
        self._log.close()
        self._folder.cleanup()


@dataclass(frozen=True, slots=True)
class Process:
    pid: int
    cpu_seconds: float
    """User and kernel time, to a hundredth of a second."""
    resident_bytes: int


def processes(session: int) -> list[Process]:
    """Those alive in a session, which a child inherits (proc(5), stat)."""
    found: list[Process] = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            text = path.read_text()
        except OSError:  # it has ended since the folder was read
            continue
        # The command's name stands in parentheses and may hold anything; the rest is numbers.
        state, *fields = text.rpartition(")")[2].split()
        if int(fields[2]) == session and state != "Z":
            cpu = (int(fields[10]) + int(fields[11])) / _TICKS_PER_SECOND
            found.append(Process(int(path.parent.name), cpu, int(fields[20]) * _PAGE_BYTES))
    return found


def machine_cpu_seconds() -> float:
    """What all processes of the machine have used: everything but idle and waiting for disks."""
    with Path("/proc/stat").open() as file:
        user, nice, system, _idle, _iowait, *rest = map(int, file.readline().split()[1:8])
    return (user + nice + system + sum(rest)) / _TICKS_PER_SECOND


def _status(port: int, path: str) -> int:
    """0 where nobody listens yet."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        response.read()
    except (OSError, http.client.HTTPException):
        return 0
    else:
        return response.status
    finally:
        connection.close()

"""The real server in a process of its own: start it, ask what it used, end it properly."""

import http.client
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.e2e.server import free_port

_ROOT = Path(__file__).resolve().parents[2]
_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
_ROWS = re.compile(r'^recur_batch_rows_(count|sum)\{model="([^"]+)"\} (\S+)$', re.MULTILINE)
_START_SECONDS, _STOP_SECONDS = 120.0, 30.0


class ServerFailed(Exception):
    """The server did not start, or did not end as it should; the text has its log's end."""


@dataclass(frozen=True, slots=True)
class Calls:
    """Of the runtime: how many, and with how many rows in all."""

    count: float
    rows: float


class Server:
    """`python -m service` on a free port, with the settings of the environment."""

    def __init__(self, models: Path) -> None:
        self.port = free_port()
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the server
        environment = os.environ | {
            "RECUR_HOST": "127.0.0.1",
            "RECUR_PORT": str(self.port),
            "RECUR_MODELS_DIR": str(models.resolve()),
        }
        self._process = subprocess.Popen(
            [sys.executable, "-m", "service"],
            cwd=_ROOT,
            env=environment,
            stdout=self._log,
            stderr=subprocess.STDOUT,
        )

    def __enter__(self) -> Self:
        try:
            self._wait_until_ready()
        except BaseException:
            self._kill()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if error is not None:
            error.add_note(f"the server's log ends with\n{self._log_end()}")
            self._kill()
            return
        self._process.send_signal(signal.SIGTERM)
        try:
            status = self._process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._kill()
            raise ServerFailed("the server did not end after SIGTERM") from None
        if status != 0:
            raise ServerFailed(f"the server ended with status {status}\n{self._log_end()}")
        self._log.close()

    @property
    def pid(self) -> int:
        return self._process.pid

    def cpu_seconds(self) -> float:
        """Of all its threads, in user and in kernel mode, since it started."""
        return cpu_seconds(self.pid)

    def calls(self, model: str) -> Calls:
        """Of the runtime for `model`, since the server started."""
        text = _get(self.port, "/metrics").body
        values = {kind: float(value) for kind, name, value in _ROWS.findall(text) if name == model}
        return Calls(values.get("count", 0.0), values.get("sum", 0.0))

    def _wait_until_ready(self) -> None:
        ends = time.monotonic() + _START_SECONDS
        while _get(self.port, "/healthz/ready").status != 200:
            if self._process.poll() is not None or time.monotonic() > ends:
                raise ServerFailed(f"the server did not become ready\n{self._log_end()}")
            time.sleep(0.05)

    def _log_end(self) -> str:
        self._log.seek(0)
        return self._log.read()[-4000:].decode(errors="replace")

    def _kill(self) -> None:
        self._process.kill()
        self._process.wait()
        self._log.close()


def cpu_seconds(pid: int) -> float:
    """User and kernel time of a process, to a hundredth of a second (proc(5), stat)."""
    # The command's name stands in parentheses and may hold anything; the rest is numbers.
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS_PER_SECOND


def machine_cpu_seconds() -> float:
    """What all processes of the machine have used: everything but idle and waiting for disks."""
    with Path("/proc/stat").open() as file:
        user, nice, system, _idle, _iowait, *rest = map(int, file.readline().split()[1:8])
    return (user + nice + system + sum(rest)) / _TICKS_PER_SECOND


@dataclass(frozen=True, slots=True)
class _Page:
    status: int
    body: str


def _get(port: int, path: str) -> _Page:
    """Status 0 where nobody listens yet."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        return _Page(response.status, response.read().decode())
    except OSError:
        return _Page(0, "")
    finally:
        connection.close()

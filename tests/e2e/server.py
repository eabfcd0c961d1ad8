"""A real server process, started and stopped by a test."""

import hashlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

ROOT = Path(__file__).parents[2]
_START_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Server:
    process: subprocess.Popen[bytes]
    url: str
    log: Path

    def events(self) -> list[dict[str, Any]]:
        """The log so far."""
        return [json.loads(line) for line in self.log.read_text().splitlines()]

    def stop(self, timeout: float = 30.0) -> int:
        """SIGTERM, and the exit status."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def start(
    models_dir: Path, log: Path, *, ignoring_signals: bool = False, **settings: str
) -> Server:
    """`settings` without their prefix, in lower case: `grace_seconds="2"`.

    `ignoring_signals`: it is born deaf to SIGTERM, as the first process of a container is.
    """
    port = free_port()
    env = {name: value for name, value in os.environ.items() if not name.startswith("RECUR_")}
    env |= {"RECUR_MODELS_DIR": str(models_dir), "RECUR_PORT": str(port)}
    env |= {f"RECUR_{name.upper()}": value for name, value in settings.items()}
    with log.open("wb") as stderr:
        command = [sys.executable, "-m", "service"]
        if ignoring_signals:
            command = ["sh", "-c", 'trap "" TERM; exec "$@"', "sh", *command]
        process = subprocess.Popen(command, cwd=ROOT, env=env, stderr=stderr)
    return Server(process, f"http://127.0.0.1:{port}", log)


def api_keys(**keys: str) -> str:
    """The setting that gives each tenant its key: `api_keys(ann="key-a")`."""
    hashes = {tenant: hashlib.sha256(key.encode()).hexdigest() for tenant, key in keys.items()}
    return ",".join(f"{tenant}:{digest}" for tenant, digest in hashes.items())


def wait_for(condition: Callable[[], bool], seconds: float = 30.0) -> None:
    """Until it is so: of what happens in another process nobody hears otherwise."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.02)


def wait_until_ready(server: Server) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline:
        assert server.process.poll() is None, f"the server ended: {server.log.read_text()}"
        try:
            if httpx.get(f"{server.url}/healthz/ready").status_code == 200:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.05)
    raise AssertionError(f"not ready in {_START_SECONDS} s: {server.log.read_text()}")


@contextmanager
def serving(models_dir: Path, log: Path, **settings: str) -> Iterator[Server]:
    """A server that is ready; killed at the end if the test has not stopped it."""
    server = start(models_dir, log, **settings)
    try:
        wait_until_ready(server)
        yield server
    finally:
        if server.process.poll() is None:
            server.process.kill()
        server.process.wait(10)

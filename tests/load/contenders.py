"""Who is compared, and how each is started for one kind of work, in its best settings."""

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.load.reference import Precision
from tests.load.server import ROOT, Launch
from tests.load.wire import Wire
from tests.load.wires import OurWire, PeerWire, TritonWire
from tests.load.workload import Part

_PLAIN: dict[Part, dict[str, str]] = {"classify": {}, "step": {}, "generate": {}}
_HANDMADE: dict[Part, dict[str, str]] = {
    "classify": {"PEER_MAX_BATCH": "8", "PEER_RUNNERS": "2"},
    "step": {"PEER_MAX_BATCH": "64", "PEER_THREADS": "0"},
    "generate": {"PEER_MAX_BATCH": "64", "PEER_THREADS": "0"},
}
_TRITON: dict[Part, dict[str, str]] = {
    "classify": {"PEER_MAX_BATCH": "4", "PEER_RUNNERS": "2", "PEER_WAIT_US": "1000"},
    "step": {"PEER_MAX_BATCH": "64", "PEER_RUNNERS": "2"},
    "generate": {"PEER_MAX_BATCH": "32", "PEER_RUNNERS": "2"},
}


@dataclass(frozen=True, slots=True)
class Contender:
    name: str
    wire: Wire
    launch: Callable[[Path, Part], Launch]
    """How to start it on a folder of models for one kind of work."""
    precision: Precision = "float32"
    """Which form of a model it answers with."""

    @property
    def is_ours(self) -> bool:
        return isinstance(self.wire, OurWire)

    @property
    def is_int8(self) -> bool:
        return self.precision == "auto"


def ours(name: str, settings: Mapping[str, str], precision: Precision = "float32") -> Contender:
    """The service with these settings."""

    def launch(models: Path, _: Part) -> Launch:
        return launch_service(models, {**settings, "RECUR_PRECISION": precision})

    return Contender(name, OurWire(), launch, precision)


def plain() -> Contender:
    return _peer("plain", PeerWire(), _PLAIN)


def handmade() -> Contender:
    return _peer("handmade", PeerWire(), _HANDMADE)


def triton(python: Path) -> Contender:
    """`python` is the interpreter that has peers/requirements-triton.txt."""
    return _peer("triton", TritonWire(), _TRITON, python=str(python), ready_path="/v2/health/ready")


def launch_service(models: Path, settings: Mapping[str, str]) -> Launch:
    environment = {
        "RECUR_HOST": "127.0.0.1",
        "RECUR_PORT": "{port}",
        "RECUR_MODELS_DIR": str(models.resolve()),
    }
    return Launch((sys.executable, "-m", "service"), environment | settings, "/healthz/ready")


def _peer(
    name: str,
    wire: Wire,
    settings: Mapping[Part, Mapping[str, str]],
    *,
    python: str = sys.executable,
    ready_path: str = "/ready",
) -> Contender:
    def launch(models: Path, part: Part) -> Launch:
        environment = {
            "PYTHONPATH": str(ROOT),
            "PEER_PORT": "{port}",
            "PEER_FOLDER": "{folder}",
            "PEER_MODELS": str(models.resolve()),
            "PEER_WORK": part,
        }
        command = (python, "-m", f"tests.load.peers.{name}")
        return Launch(command, environment | settings[part], ready_path, ends_cleanly=False)

    return Contender(name, wire, launch)

"""A store on a clock that the test moves, and states that tell themselves apart."""

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from prometheus_client import CollectorRegistry

from service.sessions.session import PastStep, Session, SessionState
from service.sessions.store.memory import MemoryStore, SessionsConfig
from service.telemetry.metrics import Metrics

CONFIG = SessionsConfig(ttl_seconds=100.0, max_sessions=8, max_sessions_per_tenant=8)
STATE_BYTES = 4


class Clock:
    def __init__(self) -> None:
        self.time = 1_000.0

    def __call__(self) -> float:
        return self.time

    def pass_seconds(self, seconds: float) -> None:
        self.time += seconds


def state(value: float = 0.0, *, size: int = 1) -> SessionState:
    return SessionState((np.full(size, value, np.float32),))


def past(step: int) -> PastStep:
    return PastStep(step, b"digest", f"reply to {step}")


@dataclass
class Setup:
    clock: Clock = field(default_factory=Clock)
    config: SessionsConfig = CONFIG
    collectors: CollectorRegistry = field(default_factory=CollectorRegistry)
    store: MemoryStore = field(init=False)

    def __post_init__(self) -> None:
        self.store = MemoryStore(self.config, Metrics(self.collectors), now=self.clock)

    def open(self, session_id: str | None = None, *, tenant: str = "one", **more: Any) -> Session:
        fields: dict[str, Any] = {"model": "total", "version": 1, "state": state()} | more
        return self.store.open(tenant=tenant, session_id=session_id, **fields)

    def metric(self, name: str, **labels: str) -> float:
        return self.collectors.get_sample_value(f"recur_{name}", labels) or 0.0


def setup(**config: Any) -> Setup:
    return Setup(config=replace(CONFIG, **config))

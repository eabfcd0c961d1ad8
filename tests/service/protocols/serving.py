"""The HTTP application around a data plane: in this process, or on a real port."""

import socket
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import httpx
import uvicorn
from fastapi import FastAPI
from prometheus_client import CollectorRegistry

from service.dataplane.plane import DataPlane
from service.protocols.auth import Authenticator
from service.protocols.health import Health, HealthState
from service.protocols.http import create_http_app
from service.protocols.operation import HttpConfig
from service.protocols.wire import uvicorn_config
from service.telemetry.metrics import Metrics
from service.telemetry.requests import LocalTelemetry

CONFIG = HttpConfig(max_body_bytes=2**20, access_log=True)


def ready_health() -> Health:
    health = Health(lambda: {"sums": "ready"})
    health.state = HealthState.READY
    return health


def make_app(
    plane: DataPlane,
    *,
    auth: Authenticator | None = None,
    health: Health | None = None,
    metrics: Metrics | None = None,
    config: HttpConfig = CONFIG,
) -> FastAPI:
    return create_http_app(
        plane,
        auth=auth or Authenticator(),
        health=health or ready_health(),
        telemetry=LocalTelemetry(metrics or Metrics(CollectorRegistry())),
        config=config,
    )


@asynccontextmanager
async def client_of(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        yield client


@contextmanager
def served(app: Any) -> Iterator[tuple[str, int]]:
    """A real server in a thread; its address. It listens already, so nobody needs to wait."""
    listener = socket.create_server(("127.0.0.1", 0))
    config = uvicorn_config(
        app, max_frame_bytes=CONFIG.max_body_bytes, lifespan="off", grace_seconds=5
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, args=([listener],))
    thread.start()
    try:
        yield listener.getsockname()
    finally:
        server.should_exit = True
        thread.join(10)
        listener.close()
        assert not thread.is_alive()

"""A soak: many clients at once, each playing random scenes, until the time is up."""

import asyncio
import math
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import numpy as np
import uvloop
from numpy.typing import NDArray

from service.artifact.artifact import read_manifest
from service.registry.disk import scan
from tests.load.contenders import launch_service
from tests.load.models import write_models
from tests.load.reference import Precision, WrongAnswer
from tests.load.server import ROOT, Server
from tests.load.soak import scenes, sessions
from tests.load.soak.client import Client, Unanswered
from tests.load.soak.elders import Elders
from tests.load.soak.expected import Model
from tests.load.soak.scenes import World
from tests.load.soak.translators import Translator
from tests.load.soak.watch import Lag, Memory, Probe, Resident, lag_of, memory_of, queued_seconds
from tests.service.babel import save_babel

Scene = Callable[[World], Awaitable[None]]

SCENES: tuple[tuple[float, Scene], ...] = (
    (4.0, scenes.predict),
    (3.0, sessions.session),
    (2.0, scenes.generate),
    (1.0, scenes.translate),
    (1.0, sessions.bulk),
    (1.0, sessions.stream),
    (1.0, scenes.nonsense),
    (0.5, scenes.leave),
)
_VISITS = 1.0
"""The weight of the scenes with sessions that live as long as the soak."""
_SAMPLE_SECONDS = 1.0
_MAX_FAILURES = 20


@dataclass(frozen=True, slots=True)
class SoakOptions:
    seconds: float
    clients: int = 12
    seed: int = 1
    precision: Precision = "auto"
    scenes: Collection[str] = ()
    """Only these, by name; all where none is named."""


@dataclass(slots=True)
class Soak:
    """What came of it."""

    seconds: float = 0.0
    scenes: Counter[str] = field(default_factory=Counter[str])
    asked: int = 0
    answered: int = 0
    left: int = 0
    checked: int = 0
    failures: list[str] = field(default_factory=list[str])
    memory: Memory = field(default_factory=lambda: Memory((), 0.0, math.nan, math.nan))
    lag: Lag = field(default_factory=lambda: Lag({}))
    """While the clients played."""
    queued: float = 0.0
    """Share of the time that the server's event loop waited for a processor."""
    waits: NDArray[np.float64] = field(default_factory=lambda: np.array([]))
    """Seconds of each probe's answer."""
    late: NDArray[np.float64] = field(default_factory=lambda: np.array([]))
    """Seconds that each probe was late on its own."""
    server_cores: float = 0.0


def soak(options: SoakOptions) -> Soak:
    """On the published models and random ones together, in the settings of the environment."""
    with tempfile.TemporaryDirectory(prefix="recur-soak-") as folder:
        models = Path(folder)
        write_models(models)
        for published in (ROOT / "models").iterdir():
            shutil.copytree(published, models / published.name)
        save_babel(models)
        known = _Known.of(models, options.precision)
        settings = {"RECUR_PRECISION": options.precision}
        with Server(launch_service(models, settings)) as server, Probe(server.port) as probe:
            done = uvloop.run(_run(server, known, options))
            done.failures += server.errors()
        done.waits, done.late = probe.waits, probe.late
        return done


@dataclass(frozen=True, slots=True)
class _Known:
    """What each model of the folder must answer."""

    models: Sequence[Model]
    """Of one graph."""
    translators: Sequence[Translator]

    @classmethod
    def of(cls, folder: Path, precision: Precision) -> Self:
        newest = {name: folder / name / str(found[-1]) for name, found in scan(folder).items()}
        pairs = {n for n, path in newest.items() if read_manifest(path).encoder is not None}
        models = [Model(folder, name, precision) for name in newest if name not in pairs]
        return cls(models, [Translator(folder, name) for name in sorted(pairs)])


async def _run(server: Server, known: _Known, options: SoakOptions) -> Soak:
    done = Soak()
    worlds = [
        World(
            Client(server.port),
            known.models,
            known.translators,
            np.random.default_rng([options.seed, number]),
        )
        for number in range(options.clients)
    ]
    began = time.monotonic()
    ends = began + options.seconds
    cpu_began, queued_began = server.cpu_seconds(), queued_seconds(server.pid)
    watcher = Client(server.port)
    lag_began = lag_of(await watcher.text("/metrics"))
    memory = asyncio.create_task(_sample_memory(server))
    async with asyncio.TaskGroup() as group:
        for world in worlds:
            group.create_task(_play(world, done, options, ends=ends))
    memory.cancel()
    samples = await memory
    done.seconds = time.monotonic() - began
    done.server_cores = (server.cpu_seconds() - cpu_began) / done.seconds
    done.queued = (queued_seconds(server.pid) - queued_began) / done.seconds
    done.lag = lag_of(await watcher.text("/metrics")).since(lag_began)
    watcher.close()
    done.memory = memory_of(samples)
    for world in worlds:
        world.client.close()
        done.asked += world.client.num_asked
        done.answered += world.client.num_answered
        done.left += world.client.num_left
        done.checked += world.num_checked
    return done


async def _play(world: World, done: Soak, options: SoakOptions, *, ends: float) -> None:
    elders = Elders()
    scenes = [*SCENES, (_VISITS, elders.visit)]
    if options.scenes:
        scenes = [scene for scene in scenes if scene[1].__name__ in options.scenes]
    weights = np.array([weight for weight, _ in scenes])
    while time.monotonic() < ends and len(done.failures) < _MAX_FAILURES:
        _, scene = scenes[world.rng.choice(len(scenes), p=weights / weights.sum())]
        await _play_one(world, scene, done)
    await _play_one(world, elders.settle, done)


async def _play_one(world: World, scene: Scene, done: Soak) -> None:
    try:
        await scene(world)
    except (Unanswered, WrongAnswer, LookupError, TypeError, ValueError) as error:
        # The last three: an answer of another form than the one that was read.
        done.failures.append(f"{scene.__name__}: {type(error).__name__}: {error}")
    done.scenes[scene.__name__] += 1


async def _sample_memory(server: Server) -> list[Resident]:
    """Until it is cancelled."""
    samples: list[Resident] = []
    began = time.monotonic()
    try:
        while True:
            megabytes = server.memory_bytes() / 1e6
            samples.append(Resident(time.monotonic() - began, megabytes))
            await asyncio.sleep(_SAMPLE_SECONDS)
    except asyncio.CancelledError:
        return samples

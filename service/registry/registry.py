"""name/version -> a running model; the new one is warm and verified before the old one drains."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import structlog

from service.engine.engine import EngineConfig
from service.engine.pool import Pool
from service.errors import DeviceUnavailable, ModelNotFound, RecurError, Starting
from service.registry.disk import ModelRef, load_version, scan
from service.registry.served_model import ServedModel, VerifiedModel, serve, verify
from service.runtime.session import RuntimeConfig
from service.sessions.store.memory import MemoryStore
from service.telemetry.metrics import Metrics

_log = structlog.get_logger(__name__)
_DRAIN_POLL_SECONDS = 0.5

READY = "ready"
"""What is said of a model that is loaded, verified and warm."""


@dataclass(frozen=True, slots=True)
class RegistryConfig:
    models_dir: Path
    models: tuple[str, ...] = ()
    """`name` or `name@version`; empty is every model in the folder."""
    poll_seconds: float = 5.0
    """How often the folder is looked at for other versions; 0 is never."""
    drain_seconds: float = 600.0
    """How long a replaced version waits for its sessions before it ends them."""


class Registry:
    """Belongs to the event loop; only loading runs in threads."""

    def __init__(
        self,
        config: RegistryConfig,
        *,
        runtime: RuntimeConfig,
        engine: EngineConfig,
        sessions: MemoryStore,
        metrics: Metrics,
        on_change: Callable[[], None] = lambda: None,
    ) -> None:
        """`on_change` is called when what is served, or the reason why not, has changed."""
        self._config = config
        self._runtime_config = runtime
        self._engine_config = engine
        self._pool = Pool(engine.num_workers)
        self._sessions = sessions
        self._metrics = metrics
        self._on_change = on_change
        self._current: dict[str, ServedModel] = {}
        self._draining: dict[tuple[str, int], ServedModel] = {}
        self._drains: dict[tuple[str, int], asyncio.Task[None]] = {}
        self._failed: dict[tuple[str, int], int] = {}
        self._errors: dict[str, str] = {}
        self._wanted: frozenset[str] = frozenset()
        self._told: tuple[dict[str, str], dict[str, int]] = ({}, {})

    def readiness(self) -> dict[str, str]:
        """`ready`, `loading` or what is wrong, for every configured model."""
        states = {name: self._errors.get(name, "loading") for name in self._wanted}
        return states | dict.fromkeys(self._current, READY)

    @property
    def ready(self) -> bool:
        return bool(self._wanted) and self._wanted <= self._current.keys()

    @property
    def in_flight(self) -> int:
        """Sequences that any engine has admitted and not yet answered."""
        models = (*self._current.values(), *self._draining.values())
        return sum(model.engine.in_flight for model in models)

    def models(self) -> list[ServedModel]:
        return [self._current[name] for name in sorted(self._current)]

    def get(self, ref: str) -> ServedModel:
        """The current version, if it is the one asked for. Raises ModelNotFound, Starting."""
        wanted = ModelRef.parse(ref)
        model = self._current.get(wanted.name)
        if model is None and wanted.name in self._wanted:
            why = self._errors.get(wanted.name, "it is not loaded yet")
            raise Starting(f"model {wanted.name} is not served: {why}")
        if model is None:
            raise ModelNotFound(
                f"no model {wanted.name!r}",
                param="model",
                details={"models": sorted(self._current)},
            )
        if wanted.version not in (None, model.manifest.version):
            raise ModelNotFound(
                f"version {wanted.version} of {wanted.name} is not served",
                param="model",
                details={"version": model.manifest.version},
            )
        return model

    def pinned(self, name: str, version: int) -> ServedModel:
        """The version of a live session, current or draining."""
        current = self._current.get(name)
        if current is not None and current.manifest.version == version:
            return current
        return self._draining[name, version]

    async def refresh(self) -> None:
        """Load what the folder has and this process has not. One failure keeps nothing else back.

        Raises DeviceUnavailable: no model can run as the settings ask.
        """
        on_disk = await asyncio.to_thread(scan, self._config.models_dir)
        targets = self._targets(on_disk)
        self._wanted = frozenset(targets) | self._current.keys()
        for name, version in targets.items():
            current = self._current.get(name)
            if version is None:
                self._errors[name] = "no such model, or no such version, in RECUR_MODELS_DIR"
            elif current is None or current.manifest.version != version:
                await self._load(name, version)
        for name, state in self.readiness().items():
            self._metrics.model_ready.labels(name).set(state == READY)
        if (told := (self.readiness(), self._versions())) != self._told:
            self._told = told
            self._on_change()

    def _versions(self) -> dict[str, int]:
        return {name: model.manifest.version for name, model in self._current.items()}

    async def poll(self) -> None:
        """Refresh for ever."""
        while self._config.poll_seconds > 0:
            await asyncio.sleep(self._config.poll_seconds)
            try:
                await self.refresh()
            except OSError as error:
                # Someone moves folders under our feet: what serves goes on, the next look tells.
                _log.warning("models folder not readable", reason=str(error))

    async def close(self, timeout_seconds: float) -> None:
        """Let work in flight end, within the time, and stop every engine."""
        for task in self._drains.values():
            task.cancel()
        everything = [*self._current.values(), *self._draining.values()]
        await asyncio.gather(*(model.engine.drain(timeout_seconds) for model in everything))
        await asyncio.gather(*(model.close() for model in everything))
        await self._pool.close()

    def _targets(self, on_disk: dict[str, list[int]]) -> dict[str, int | None]:
        """The version to serve of each model; None where the folder lacks what is configured."""
        if not self._config.models:
            return {name: versions[-1] for name, versions in on_disk.items()}
        targets: dict[str, int | None] = {}
        for text in self._config.models:
            ref = ModelRef.parse(text)
            versions = on_disk.get(ref.name, [])
            if ref.version is None:
                targets[ref.name] = versions[-1] if versions else None
            else:
                targets[ref.name] = ref.version if ref.version in versions else None
        return targets

    async def _load(self, name: str, version: int) -> None:
        if (name, version) in self._draining:
            self._swap_in(self._take_back(name, version))
            return
        folder = self._config.models_dir / name / str(version)
        changed = await asyncio.to_thread(_changed_at, folder)
        if self._failed.get((name, version)) == changed:
            return
        try:
            verified = await asyncio.to_thread(self._load_and_verify, name, version)
        except DeviceUnavailable:
            raise
        except RecurError as error:
            self._failed[name, version] = changed
            self._errors[name] = error.message
            _log.error("model refused", model=name, version=version, reason=error.message)
            return
        self._swap_in(serve(verified, self._engine_config, pool=self._pool, metrics=self._metrics))

    def _load_and_verify(self, name: str, version: int) -> VerifiedModel:
        artifact = load_version(self._config.models_dir, name, version)
        return verify(artifact, self._runtime_config)

    def _swap_in(self, model: ServedModel) -> None:
        manifest, verified = model.manifest, model.verified
        old = self._current.get(manifest.name)
        self._current[manifest.name] = model
        self._errors.pop(manifest.name, None)
        labels = (manifest.name, str(manifest.version), manifest.task.value, verified.device)
        self._metrics.model_info.labels(*labels).set(1)
        self._metrics.model_load_seconds.labels(manifest.name).set(verified.load_seconds)
        _log.info(
            "model loaded",
            model=manifest.name,
            version=manifest.version,
            device=verified.device,
            seconds=round(verified.load_seconds, 3),
            probe_difference=verified.probe_difference,
        )
        if old is not None:
            key = (manifest.name, old.manifest.version)
            self._draining[key] = old
            self._drains[key] = asyncio.create_task(self._drain(old))

    def _take_back(self, name: str, version: int) -> ServedModel:
        """The version that drains, to serve again with its sessions: a rollback loses nothing."""
        self._drains.pop((name, version)).cancel()
        return self._draining.pop((name, version))

    async def _drain(self, old: ServedModel) -> None:
        """Wait for the rows and sessions of a replaced version, then end it."""
        name, version = old.manifest.name, old.manifest.version
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._config.drain_seconds
        while loop.time() < deadline and (  # noqa: ASYNC110 - two conditions, no event
            old.engine.in_use or any(self._sessions.of_version(name, version))
        ):
            await asyncio.sleep(_DRAIN_POLL_SECONDS)
        for session in self._sessions.of_version(name, version):
            self._sessions.end(session, "lost")
        # From here nothing finds it, and it cannot be taken back.
        del self._draining[name, version]
        labels = (name, str(version), old.manifest.task.value, old.verified.device)
        self._metrics.model_info.remove(*labels)
        await old.close()
        _log.info("model drained", model=name, version=version)


def _changed_at(folder: Path) -> int:
    """When anything in the folder last changed, in nanoseconds; 0 if it is gone.

    Of the entries themselves: a link may lead nowhere. And no tool can set this time back.
    """
    try:
        return max(path.lstat().st_ctime_ns for path in (folder, *folder.iterdir()))
    except OSError:
        return 0

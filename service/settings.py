"""Every setting, read once from the environment; the small configs that inner floors own."""

import math
import os
import re
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from service.dataplane.types import DataPlaneLimits
from service.engine.engine import EngineConfig
from service.engine.scheduler import SchedulerConfig
from service.errors import ModelNotFound
from service.protocols.operation import HttpConfig
from service.registry.disk import ModelRef
from service.registry.registry import RegistryConfig
from service.runtime.session import RuntimeConfig
from service.sessions.store.memory import SessionsConfig

PREFIX = "RECUR_"
_API_KEY = re.compile(r"([A-Za-z0-9._-]{1,64}):([0-9a-fA-F]{64})")
_OF_TRAINING = {"RECUR_DATA_DIR", "RECUR_CACHE_DIR"}

_MAX_AUTO_THREADS = 4
"""Rows beat threads: a batch that is spread too thin costs more than it gains."""

_CGROUP_QUOTA = Path("/sys/fs/cgroup/cpu.max")
"""Microseconds of processor time and of the period that they are for; `max` is no limit."""

Count = Annotated[int, Field(ge=1)]
Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Names = Annotated[tuple[str, ...], NoDecode]


class SettingsError(Exception):
    """A setting is wrong; the text names the variable, one line for each."""


class Settings(BaseSettings):
    """A docstring under a field is its line in the README's table."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_ignore_empty=True, frozen=True, use_attribute_docstrings=True
    )

    host: str = "127.0.0.1"
    """Address to listen on; `0.0.0.0` for every one."""
    port: Annotated[int, Field(ge=0, le=65535)] = 8000
    """Port to listen on; 0 takes a free one and logs it."""
    http_workers: Annotated[int, Field(ge=0, le=64)] = 0
    """Processes that speak HTTP before one that has models and sessions; 0 is one for all."""
    grace_seconds: Seconds = 30.0
    """How long work in flight may go on after SIGTERM."""
    log_format: Literal["json", "console"] = "json"
    """One JSON object a line, or lines for people."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """The least severe events that are logged."""
    access_log: bool = False
    """Whether each request is logged; the metrics count them in any case."""

    models_dir: Path = Path("models")
    """The folder of artifacts, `name/version/`."""
    models: Names = ()
    """Models to serve, `name` or `name@version`, separated by commas; empty is all."""
    models_poll_seconds: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 5.0
    """How often the folder is looked at for new versions; 0 is never."""
    models_drain_seconds: Seconds = 600.0
    """How long a replaced version waits for its sessions before it ends them."""

    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where models run; `cuda` refuses to start without it, `auto` takes it where it works."""
    precision: Literal["auto", "float32"] = "auto"
    """`auto` serves a model's int8 form where it has one and the processor is fast at it."""
    engine_threads: Annotated[int, Field(ge=0)] = 0
    """Threads that step rows, shared by all models; 0 is one for each processor, at most 4."""
    threads: Count = 1
    """Threads inside one call of the runtime."""
    max_rows: Count = 64
    """Rows of one call of the runtime."""
    chunk_steps: Count = 16
    """Time steps of one call, for models that can be cut in time."""
    max_padded_steps: Count = 1024
    """Rows times time steps of one call, padding included."""
    max_queue: Count = 4096
    """Sequences that one model has admitted and not yet answered."""

    max_body_bytes: Count = 16 * 1024 * 1024
    """Largest request body."""
    max_sequences: Count = 1024
    """Sequences in one request."""
    max_steps: Count = 100_000
    """Time steps of one sequence."""
    max_raw_bytes: Count = 1 << 26
    """Raw outputs (`raw`) that one request may ask for, in bytes as float32."""
    max_tokens: Count = 4096
    """Tokens that one request may generate for each choice."""
    max_choices: Count = 16
    """Choices (`n`) of one generation."""
    max_beam_width: Count = 16
    """Texts that a search may keep at every token (`beam_width`)."""
    max_logprobs: Annotated[int, Field(ge=0)] = 20
    """Alternatives reported with each token (`logprobs`)."""
    max_stop_strings: Annotated[int, Field(ge=0)] = 8
    """Stop strings of one generation."""
    max_streams: Count = 256
    """Generations under way at once."""
    stream_window: Count = 16
    """Frames of one socket that are read ahead of the one being answered."""
    default_deadline_seconds: Seconds | None = None
    """Deadline of requests that name none; none if empty."""

    api_keys: Names = ()
    """`tenant:sha256-of-the-key` pairs, separated by commas; with none the service is open."""
    session_ttl_seconds: Seconds = 600.0
    """How long a session may be idle, unless it asks for another time."""
    session_max_ttl_seconds: Seconds = 86_400.0
    """The longest idle time that a session may ask for."""
    session_max: Count = 100_000
    """Live sessions in all."""
    session_max_per_tenant: Count = 10_000
    """Live sessions of one tenant."""
    session_max_bytes: Count = 1 << 30
    """Bytes of all live sessions' states and kept replies."""
    session_overflow: Literal["refuse", "evict"] = "refuse"
    """At a limit: refuse the new session, or end the one idle longest."""
    session_replay_window: Count = 4
    """Replies that each session keeps for retries."""
    session_replay_bytes: Count = 1 << 18
    """Bytes of the replies that each session keeps; a larger one is not kept for a retry."""
    session_max_metadata_bytes: Annotated[int, Field(ge=0)] = 4096
    """Bytes of the metadata that a session may carry."""

    @field_validator("models", "api_keys", mode="before")
    @classmethod
    def _split(cls, value: Any) -> Any:
        if isinstance(value, str):
            return tuple(part.strip() for part in value.split(",") if part.strip())
        return value

    @field_validator("models")
    @classmethod
    def _models_are_named_once(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        try:
            names = [ModelRef.parse(text).name for text in value]
        except ModelNotFound as error:
            raise ValueError(f"each must be name or name@version: {error.message}") from error
        if len(set(names)) < len(names):
            raise ValueError("each model may be named once: one version of it is served")
        return value

    @field_validator("api_keys")
    @classmethod
    def _api_keys_are_hashed(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for pair in value:
            if not _API_KEY.fullmatch(pair):
                raise ValueError("each must be tenant:hash, the hash being sha256 in hexadecimal")
        return value

    @model_validator(mode="after")
    def _parts_agree(self) -> "Settings":
        if max(self.max_sequences, self.max_choices) > self.max_queue:
            raise ValueError("RECUR_MAX_SEQUENCES and RECUR_MAX_CHOICES must fit RECUR_MAX_QUEUE")
        if self.chunk_steps > self.max_padded_steps:
            raise ValueError("RECUR_CHUNK_STEPS must fit RECUR_MAX_PADDED_STEPS")
        if self.session_ttl_seconds > self.session_max_ttl_seconds:
            raise ValueError(
                "RECUR_SESSION_TTL_SECONDS must not exceed RECUR_SESSION_MAX_TTL_SECONDS"
            )
        return self

    def registry(self) -> RegistryConfig:
        return RegistryConfig(
            models_dir=self.models_dir,
            models=self.models,
            poll_seconds=self.models_poll_seconds,
            drain_seconds=self.models_drain_seconds,
        )

    def runtime(self) -> RuntimeConfig:
        return RuntimeConfig(self.device, self.threads, self.precision)

    def engine(self) -> EngineConfig:
        scheduler = SchedulerConfig(
            max_rows=self.max_rows,
            chunk_steps=self.chunk_steps,
            max_padded_steps=self.max_padded_steps,
            lonely_padded_steps=min(SchedulerConfig().lonely_padded_steps, self.max_padded_steps),
        )
        num_workers = self.engine_threads or min(_num_processors(), _MAX_AUTO_THREADS)
        return EngineConfig(scheduler, num_workers=num_workers, max_queue=self.max_queue)

    def sessions(self) -> SessionsConfig:
        return SessionsConfig(
            ttl_seconds=self.session_ttl_seconds,
            max_ttl_seconds=self.session_max_ttl_seconds,
            max_sessions=self.session_max,
            max_sessions_per_tenant=self.session_max_per_tenant,
            max_bytes=self.session_max_bytes,
            overflow=self.session_overflow,
            replay_window=self.session_replay_window,
            replay_bytes=self.session_replay_bytes,
        )

    def limits(self) -> DataPlaneLimits:
        return DataPlaneLimits(
            max_sequences=self.max_sequences,
            max_steps=self.max_steps,
            max_tokens=self.max_tokens,
            max_choices=self.max_choices,
            max_beam_width=self.max_beam_width,
            max_logprobs=self.max_logprobs,
            max_stop_strings=self.max_stop_strings,
            max_streams=self.max_streams,
            max_metadata_bytes=self.session_max_metadata_bytes,
            max_raw_bytes=self.max_raw_bytes,
        )

    def http(self) -> HttpConfig:
        return HttpConfig(
            max_body_bytes=self.max_body_bytes,
            max_sequences=self.max_sequences,
            default_deadline_seconds=self.default_deadline_seconds,
            stream_window=self.stream_window,
            access_log=self.access_log,
        )

    def tenant_keys(self) -> tuple[tuple[str, str], ...]:
        """Pairs of a tenant and the sha256 of one of its keys."""
        pairs = (pair.partition(":") for pair in self.api_keys)
        return tuple((tenant, digest) for tenant, _, digest in pairs)


def _num_processors() -> int:
    """As many as this process may use: by affinity, and by its container's quota."""
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    try:
        quota, period = _CGROUP_QUOTA.read_text().split()
    except OSError:
        return usable or 1
    allowed = usable if quota == "max" else math.ceil(int(quota) / int(period))
    return min(usable or 1, allowed or 1)


def read_settings() -> Settings:
    """From the environment. Raises SettingsError that names every variable at fault."""
    try:
        return Settings()
    except ValidationError as error:
        lines = [
            f"{PREFIX}{str(entry['loc'][0]).upper()}: {entry['msg']}"
            if entry["loc"]
            else str(entry["msg"])
            for entry in error.errors()
        ]
        raise SettingsError("\n".join(lines)) from error


def unknown_variables() -> list[str]:
    """Variables that look like settings and are none: probably misspelt."""
    known = {PREFIX + name.upper() for name in Settings.model_fields} | _OF_TRAINING
    return sorted(name for name in os.environ if name.startswith(PREFIX) and name not in known)

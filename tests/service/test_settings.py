"""Every setting reaches what it sets; a wrong one is named; none goes unnoticed."""

import hashlib
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from service.settings import PREFIX, Settings, SettingsError, read_settings, unknown_variables

HASH = hashlib.sha256(b"secret").hexdigest()

WIRED: dict[str, tuple[str, Callable[[Settings], Any], Any]] = {
    "models_dir": ("/elsewhere", lambda s: s.registry().models_dir, Path("/elsewhere")),
    "models": ("a, b@3,", lambda s: s.registry().models, ("a", "b@3")),
    "models_poll_seconds": ("0", lambda s: s.registry().poll_seconds, 0.0),
    "models_drain_seconds": ("1.5", lambda s: s.registry().drain_seconds, 1.5),
    "device": ("cpu", lambda s: s.runtime().device, "cpu"),
    "precision": ("float32", lambda s: s.runtime().precision, "float32"),
    "engine_threads": ("3", lambda s: s.engine().num_workers, 3),
    "threads": ("3", lambda s: s.runtime().threads, 3),
    "max_rows": ("7", lambda s: s.engine().scheduler.max_rows, 7),
    "chunk_steps": ("9", lambda s: s.engine().scheduler.chunk_steps, 9),
    "max_padded_steps": ("2000", lambda s: s.engine().scheduler.max_padded_steps, 2000),
    "max_queue": ("5000", lambda s: s.engine().max_queue, 5000),
    "max_sequences": ("11", lambda s: (s.limits().max_sequences, s.http().max_sequences), (11, 11)),
    "max_steps": ("12", lambda s: s.limits().max_steps, 12),
    "max_raw_bytes": ("27", lambda s: s.limits().max_raw_bytes, 27),
    "max_tokens": ("13", lambda s: s.limits().max_tokens, 13),
    "max_choices": ("14", lambda s: s.limits().max_choices, 14),
    "max_beam_width": ("15", lambda s: s.limits().max_beam_width, 15),
    "max_logprobs": ("0", lambda s: s.limits().max_logprobs, 0),
    "max_stop_strings": ("0", lambda s: s.limits().max_stop_strings, 0),
    "max_streams": ("17", lambda s: s.limits().max_streams, 17),
    "stream_window": ("18", lambda s: s.http().stream_window, 18),
    "max_body_bytes": ("1000", lambda s: s.http().max_body_bytes, 1000),
    "default_deadline_seconds": ("2.5", lambda s: s.http().default_deadline_seconds, 2.5),
    "access_log": ("true", lambda s: s.http().access_log, True),
    "api_keys": (f"me:{HASH}", lambda s: s.tenant_keys(), (("me", HASH),)),
    "session_ttl_seconds": ("5", lambda s: s.sessions().ttl_seconds, 5.0),
    "session_max_ttl_seconds": ("1000", lambda s: s.sessions().max_ttl_seconds, 1000.0),
    "session_max": ("21", lambda s: s.sessions().max_sessions, 21),
    "session_max_per_tenant": ("22", lambda s: s.sessions().max_sessions_per_tenant, 22),
    "session_max_bytes": ("23", lambda s: s.sessions().max_bytes, 23),
    "session_overflow": ("evict", lambda s: s.sessions().overflow, "evict"),
    "session_replay_window": ("24", lambda s: s.sessions().replay_window, 24),
    "session_replay_bytes": ("25", lambda s: s.sessions().replay_bytes, 25),
    "session_max_metadata_bytes": ("26", lambda s: s.limits().max_metadata_bytes, 26),
    # The process itself reads these.
    "host": ("0.0.0.0", lambda s: s.host, "0.0.0.0"),
    "port": ("0", lambda s: s.port, 0),
    "http_workers": ("2", lambda s: s.http_workers, 2),
    "grace_seconds": ("3", lambda s: s.grace_seconds, 3.0),
    "log_format": ("console", lambda s: s.log_format, "console"),
    "log_level": ("debug", lambda s: s.log_level, "debug"),
}


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in unknown_variables():
        monkeypatch.delenv(name)
    for name in Settings.model_fields:
        monkeypatch.delenv(PREFIX + name.upper(), raising=False)


def test_every_setting_is_tried_here() -> None:
    assert WIRED.keys() == Settings.model_fields.keys()


@pytest.mark.parametrize("name", WIRED)
def test_a_setting_changes_what_it_sets(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    text, read, expected = WIRED[name]
    assert read(read_settings()) != expected
    monkeypatch.setenv(PREFIX + name.upper(), text)
    assert read(read_settings()) == expected


def test_the_defaults_of_the_service_are_those_of_its_parts() -> None:
    settings = Settings(engine_threads=1)  # by default it follows the machine
    parts = (
        settings.registry(),
        settings.runtime(),
        settings.engine(),
        settings.sessions(),
        settings.limits(),
    )
    for part in parts:
        given = {"models_dir": Path("models")} if hasattr(part, "models_dir") else {}
        assert asdict(part) == asdict(type(part)(**given))


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("port", "65536"),
        ("port", "http"),
        ("grace_seconds", "0"),
        ("log_format", "xml"),
        ("log_level", "INFO!"),
        ("access_log", "perhaps"),
        ("models", "No Name"),
        ("models", "a@b"),
        ("models", "a@1,a@2"),
        ("models_poll_seconds", "-1"),
        ("models_drain_seconds", "nan"),
        ("device", "tpu"),
        ("threads", "0"),
        ("max_rows", "0"),
        ("max_rows", "1.5"),
        ("chunk_steps", "2000"),
        ("max_padded_steps", "8"),
        ("max_queue", "10"),
        ("max_sequences", "100000"),
        ("max_choices", "100000"),
        ("max_logprobs", "-1"),
        ("max_stop_strings", "-1"),
        ("default_deadline_seconds", "0"),
        ("default_deadline_seconds", "inf"),
        ("session_ttl_seconds", "0"),
        ("session_ttl_seconds", "100000"),
        ("session_max", "0"),
        ("session_overflow", "panic"),
        ("session_max_metadata_bytes", "-1"),
        ("api_keys", "secret"),
        ("api_keys", "me:secret"),
        ("api_keys", f"me:{HASH},you"),
        ("api_keys", f"no spaces:{HASH}"),
        ("api_keys", f":{HASH}"),
    ],
)
def test_a_wrong_value_is_named_by_its_variable(
    name: str, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(PREFIX + name.upper(), text)
    with pytest.raises(SettingsError) as caught:
        read_settings()
    assert PREFIX + name.upper() in str(caught.value)


def test_every_wrong_value_is_named_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RECUR_PORT", "none")
    monkeypatch.setenv("RECUR_DEVICE", "none")
    with pytest.raises(SettingsError) as caught:
        read_settings()
    lines = str(caught.value).splitlines()
    assert [line.partition(":")[0] for line in lines] == ["RECUR_PORT", "RECUR_DEVICE"]


def test_a_key_that_is_refused_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RECUR_API_KEYS", "me:my-secret-key")
    with pytest.raises(SettingsError) as caught:
        read_settings()
    assert "my-secret-key" not in str(caught.value)


def test_an_empty_variable_is_as_none(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in Settings.model_fields:
        monkeypatch.setenv(PREFIX + name.upper(), "")
    assert read_settings() == Settings()


def test_a_tenant_may_have_many_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    other = hashlib.sha256(b"other").hexdigest()
    monkeypatch.setenv("RECUR_API_KEYS", f"me:{HASH}, me:{other}")
    assert read_settings().tenant_keys() == (("me", HASH), ("me", other))


def test_misspelt_variables_are_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RECUR_PROT", "80")
    monkeypatch.setenv("RECUR_MODEL", "a")
    monkeypatch.setenv("RECUR_PORT", "80")
    monkeypatch.setenv("OTHER_PORT", "80")
    assert unknown_variables() == ["RECUR_MODEL", "RECUR_PROT"]


def test_no_call_of_a_model_that_can_be_cut_exceeds_the_padded_steps(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("RECUR_MAX_PADDED_STEPS", "64")
    scheduler = read_settings().engine().scheduler
    assert scheduler.lonely_padded_steps <= scheduler.max_padded_steps == 64


def test_every_setting_says_what_it_is() -> None:
    assert all(field.description for field in Settings.model_fields.values())

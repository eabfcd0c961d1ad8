"""What can be told of the image without building it: no root, no torch, settings that exist."""

import re
import tomllib
from pathlib import Path

import pytest

from service.protocols.http import OPERATIONS
from service.settings import PREFIX, Settings

ROOT = Path(__file__).resolve().parents[2]
DOCKERFILE = (ROOT / "Dockerfile").read_text()
RUNTIME_STAGE = DOCKERFILE[DOCKERFILE.rindex("\nFROM ") :]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
DEPLOYED = [
    path
    for path in (ROOT / "Dockerfile", *sorted((ROOT / "deploy").iterdir()))
    if path.suffix in {"", ".md", ".yaml", ".yml"}
]


def test_the_container_never_runs_as_root():
    users = re.findall(r"^USER (.+)$", RUNTIME_STAGE, re.MULTILINE)

    assert len(users) == 1
    user, group = users[0].split(":")
    assert int(user) > 0
    assert int(group) > 0


def test_nothing_is_executed_in_the_stage_that_ships():
    assert not re.search(r"^(RUN|ADD) ", RUNTIME_STAGE, re.MULTILINE)


@pytest.mark.parametrize("extra", ["cpu", "gpu"])
def test_the_image_gets_one_runtime_and_no_torch(extra: str):
    wanted = [*PROJECT["dependencies"], *PROJECT["optional-dependencies"][extra]]

    names = {re.split(r"[\[<>=!~ ]", requirement)[0] for requirement in wanted}
    assert not names & {"torch", "lightning", "torchmetrics"}
    assert len({name for name in names if name.startswith("onnxruntime")}) == 1
    assert "training" not in re.findall(r"^COPY (\w+)/", DOCKERFILE, re.MULTILINE)


def test_every_install_is_held_to_the_constraints():
    installs = re.findall(r"pip --python \S+ install (.*)", DOCKERFILE)

    assert installs
    assert all("-c constraints.txt" in line or "--no-deps" in line for line in installs)


def test_signals_reach_the_process_that_handles_them():
    assert 'ENTRYPOINT ["python", "-m", "service"]' in RUNTIME_STAGE
    assert "STOPSIGNAL SIGTERM" in RUNTIME_STAGE


def test_the_health_check_asks_whether_it_is_ready():
    (check,) = re.findall(r"^HEALTHCHECK .*\\\n\s*CMD (.*)$", RUNTIME_STAGE, re.MULTILINE)

    assert "/healthz/ready" in check
    assert "/healthz/ready" in {operation.path for operation in OPERATIONS}
    assert "RECUR_PORT" in check


def test_what_is_copied_reaches_the_builder():
    """.dockerignore leaves everything out but what it names."""
    sources = {
        source.rstrip("/")
        for line in re.findall(r"^COPY (?!--from)(.+) \S+$", DOCKERFILE, re.MULTILINE)
        for source in line.split()
    }
    lines = (ROOT / ".dockerignore").read_text().splitlines()

    assert "*" in lines
    assert sources == {line.removeprefix("!").rstrip("/") for line in lines if line[0] == "!"}


@pytest.mark.parametrize("path", DEPLOYED, ids=lambda path: path.name)
def test_every_setting_that_is_named_exists(path: Path):
    known = {PREFIX + name.upper() for name in Settings.model_fields} | {"RECUR_EXTRA"}

    assert set(re.findall(r"RECUR_[A-Z_]*[A-Z]", path.read_text())) <= known


def test_the_settings_in_the_image_are_valid(monkeypatch: pytest.MonkeyPatch):
    for name, value in re.findall(r"(RECUR_\w+)=(\S+)", RUNTIME_STAGE):
        monkeypatch.setenv(name, value)

    settings = Settings()
    assert settings.host == "0.0.0.0"
    assert f"EXPOSE {settings.port}" in RUNTIME_STAGE
    assert f"/srv/models {settings.models_dir}" in RUNTIME_STAGE

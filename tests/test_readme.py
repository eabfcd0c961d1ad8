"""The README says what is so: its commands run, its tables are those of the code."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from service.artifact.artifact import read_manifest
from service.registry.disk import scan
from service.settings import Settings
from tests.e2e.server import ROOT, Server, serving

README = (ROOT / "README.md").read_text()
MODELS = ROOT / "models"


def blocks(text: str) -> list[str]:
    return re.findall(r"^```sh\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def code(text: str) -> list[str]:
    """All that is set as code, in blocks and in lines."""
    return re.findall(r"`([^`]+)`", text.replace("```", "`"))


def section(marker: str) -> str:
    found = re.search(rf"<!-- {marker} -->\n(.*?)<!-- /{marker} -->", README, re.DOTALL)
    assert found is not None, f"the README has no section {marker}"
    return found[1].strip()


def run(script: str, cwd: Path) -> str:
    env = os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    command = ["bash", "-euo", "pipefail", "-c", script]
    done = subprocess.run(
        command, cwd=cwd, env=env, capture_output=True, text=True, timeout=240, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(MODELS, tmp_path_factory.mktemp("readme") / "log") as server:
        yield server


@pytest.mark.slow
@pytest.mark.parametrize("script", [block for block in blocks(README) if "curl" in block])
def test_the_curl_commands_answer(script: str, server: Server, tmp_path: Path) -> None:
    output = run(script.replace("localhost:8000", server.url.removeprefix("http://")), tmp_path)
    assert '"error"' not in output
    assert any(word in output for word in ("predictions", '"prediction"', "event: done")), output


@pytest.mark.slow
def test_training_in_four_commands_publishes_a_model(tmp_path: Path) -> None:
    (script,) = [block for block in blocks(README) if "recur train" in block]
    assert len(script.strip().splitlines()) == 4
    run(script, tmp_path)
    assert scan(tmp_path / "models") == {"tiny-language": [1]}


def test_the_make_targets_exist() -> None:
    named = set(re.findall(r"\bmake ([a-z]+)", " ".join(code(README))))
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert {"serve", "test", "check"} <= named <= targets


def test_every_setting_is_documented() -> None:
    lines = ["| variable | default | what |", "|---|---|---|"]
    for name, field in Settings.model_fields.items():
        default = field.default
        shown = "" if default in (None, ()) else f"`{default}`"
        lines.append(f"| `RECUR_{name.upper()}` | {shown} | {field.description} |")
    expected = "\n".join(lines)
    assert section("settings") == expected, f"the table should be:\n{expected}"


def test_the_table_of_models_shows_their_measured_metrics() -> None:
    lines = ["| model | network and data | metric | baseline |", "|---|---|---|---|"]
    for name, versions in scan(MODELS).items():
        manifest = read_manifest(MODELS / name / str(versions[-1]))
        metric = manifest.provenance.metrics[0]
        lines.append(
            f"| [{name}](models/{name}/{manifest.version}/card.md) | {manifest.description} "
            f"| {metric.value:.4g} {metric.name} ({metric.split}) "
            f"| {metric.baseline:.4g} ({metric.baseline_name}) |"
        )
    expected = "\n".join(lines)
    assert section("models") == expected, f"the table should be:\n{expected}"


@pytest.mark.parametrize(
    "path", re.findall(r"`((?:service|training|tests|deploy)/[\w/.]+)`", README)
)
def test_the_files_it_names_exist(path: str) -> None:
    assert (ROOT / path).exists()


def test_the_tree_names_every_package() -> None:
    tree = README[README.index("## The tree") : README.index("### Follow one request")]
    for package in ("service", "training"):
        for folder in (ROOT / package).iterdir():
            if (folder / "__init__.py").exists():
                assert re.search(rf"^  {folder.name}/ ", tree, re.MULTILINE), folder

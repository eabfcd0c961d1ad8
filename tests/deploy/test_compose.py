"""compose.yaml, prometheus.yml and alerts.yml against the service that they are about."""

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client import CollectorRegistry

from service.errors import RecurError
from service.protocols.http import OPERATIONS
from service.protocols.status import STATUS
from service.settings import Settings
from service.telemetry.metrics import Metrics

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"
COMPOSE = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
PROMETHEUS = yaml.safe_load((DEPLOY / "prometheus.yml").read_text())
RULES = [
    rule
    for group in yaml.safe_load((DEPLOY / "alerts.yml").read_text())["groups"]
    for rule in group["rules"]
]
SERVICE = COMPOSE["services"]["recur"]


@pytest.mark.parametrize("name", COMPOSE["services"])
def test_a_container_can_do_no_more_than_it_must(name: str):
    service = COMPOSE["services"][name]

    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert {"mem_limit", "cpus", "pids_limit"} <= service.keys()
    assert all(port.startswith("127.0.0.1:") for port in service["ports"])


def test_the_port_is_the_one_that_the_service_listens_on():
    inner = SERVICE["ports"][0].rpartition(":")[2]

    assert int(inner) == Settings().port
    (job,) = PROMETHEUS["scrape_configs"]
    assert job["static_configs"] == [{"targets": [f"recur:{inner}"]}]


def test_the_environment_is_valid(monkeypatch: pytest.MonkeyPatch):
    for name, value in SERVICE["environment"].items():
        if value is not None:  # or it is passed on as it is
            monkeypatch.setenv(name, value)

    settings = Settings()
    assert float(SERVICE["stop_grace_period"].removesuffix("s")) > settings.grace_seconds


def test_the_paths_that_are_asked_are_routes():
    paths = {operation.path for operation in OPERATIONS}

    assert {"/healthz/ready", PROMETHEUS["scrape_configs"][0]["metrics_path"]} <= paths


def test_the_files_that_are_mounted_are_there():
    sources = [
        volume.partition(":")[0]
        for service in COMPOSE["services"].values()
        for volume in service.get("volumes", [])
    ]
    files = [source for source in sources if source.startswith(".")]

    assert files
    assert all((DEPLOY / source).is_file() for source in files)
    assert set(PROMETHEUS["rule_files"]) <= {Path(source).name for source in files}
    assert {source for source in sources if not source.startswith(".")} == COMPOSE["volumes"].keys()


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_an_alert_is_about_a_metric_that_exists(rule: dict[str, Any]):
    named = set(re.findall(r"recur_\w+", rule["expr"]))

    assert named <= _series()
    assert named or "up{" in rule["expr"]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_an_alert_groups_by_labels_that_exist(rule: dict[str, Any]):
    known = {"instance", "job", "le"}
    for metric in _collectors():
        if any(name.startswith(metric._name) for name in re.findall(r"recur_\w+", rule["expr"])):
            known |= set(metric._labelnames)

    for labels in re.findall(r"(?:by|on) \(([^)]*)\)", rule["expr"]):
        assert {label.strip() for label in labels.split(",")} <= known


def test_the_outcomes_that_count_as_errors_are_the_services_own():
    (rule,) = [rule for rule in RULES if rule["alert"] == "RecurErrors"]
    (outcomes,) = re.findall(r'outcome=~"([^"]+)"', rule["expr"])

    codes = {kind.code: _status(kind) for kind in _kinds(RecurError)}
    assert all(codes[outcome] >= 500 for outcome in outcomes.split("|"))


@pytest.mark.skipif(shutil.which("promtool") is None, reason="needs Prometheus's promtool")
@pytest.mark.parametrize(
    "command",
    [["check", "config", "--syntax-only", "prometheus.yml"], ["test", "rules", "alerts_test.yml"]],
    ids=["config", "rules"],
)
def test_prometheus_agrees(command: list[str]):
    done = subprocess.run(
        ["promtool", *command], cwd=DEPLOY, capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stdout + done.stderr


def _collectors() -> list[Any]:
    registry = CollectorRegistry()
    Metrics(registry)
    return list(registry._collector_to_names)


def _series() -> set[str]:
    registry = CollectorRegistry()
    Metrics(registry)
    return set(registry._names_to_collectors)


def _status(kind: type[RecurError]) -> int:
    return next(STATUS[base] for base in kind.__mro__ if base in STATUS)


def _kinds(error: type[RecurError]) -> set[type[RecurError]]:
    return {error}.union(*(_kinds(kind) for kind in error.__subclasses__()))

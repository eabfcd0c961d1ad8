"""The log: one JSON object a line, whoever speaks, with the ids that were bound.

Each test runs a process of its own, since the set-up is the process's.
"""

import json
import subprocess
import sys
from typing import Any


def logged(code: str) -> list[str]:
    imports = (
        "import logging, types, structlog\n"
        "from service.telemetry.logging import bind_request, configure_logging\n"
    )
    run = subprocess.run(
        [sys.executable, "-W", "error", "-c", imports + code],
        capture_output=True,
        check=True,
        text=True,
    )
    assert run.stdout == ""
    return run.stderr.splitlines()


def events(code: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in logged(code)]


def test_our_events_and_the_libraries_share_format_and_ids():
    ours, theirs = events(
        "configure_logging()\n"
        "request = types.SimpleNamespace(request_id='mine', tenant=None)\n"
        "bind_request(request)\n"
        "request.tenant = 'acme'\n"
        "structlog.get_logger().info('model loaded', seconds=0.5)\n"
        "logging.getLogger('uvicorn.error').info('Started %s', 'here')\n"
    )
    assert ours.pop("timestamp").endswith("Z")
    assert ours == {
        "event": "model loaded",
        "level": "info",
        "request_id": "mine",
        "tenant": "acme",
        "seconds": 0.5,
    }
    assert (theirs["event"], theirs["level"]) == ("Started here", "info")
    assert theirs["request_id"] == "mine"


def test_a_traceback_is_a_field_of_its_line():
    (failed,) = events(
        "configure_logging()\n"
        "try:\n    1 / 0\n"
        "except ZeroDivisionError:\n    structlog.get_logger().exception('request failed')\n"
    )
    assert "ZeroDivisionError" in failed["exception"]


def test_what_is_below_the_level_and_uvicorns_access_lines_are_dropped():
    lines = logged(
        "configure_logging(level='warning')\n"
        "structlog.get_logger().info('quiet')\n"
        "logging.getLogger('uvicorn.error').info('quiet')\n"
        "logging.getLogger('uvicorn.access').warning('quiet')\n"
    )
    assert lines == []


def test_the_console_shows_no_locals():
    lines = logged(
        "configure_logging(renderer='console')\n"
        "def fail():\n    key = 'the ' + 'key'\n    1 / 0\n"
        "try:\n    fail()\n"
        "except ZeroDivisionError:\n    structlog.get_logger().exception('request failed')\n"
    )
    assert any("ZeroDivisionError" in line for line in lines)
    assert not any("the key" in line for line in lines)

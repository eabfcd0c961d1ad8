"""Figures to a table for people and JSON for programs, with all that one needs to repeat them."""

import json
import os
import platform
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from tests.load.suite import Result

_ROOT = Path(__file__).resolve().parents[2]
_PACKAGES = ("onnxruntime", "uvicorn", "starlette", "fastapi", "uvloop", "numpy")
_COLUMNS = (
    "model", "what", "load", "/s", "p50", "p95", "p99 ms", "first p50 ms",
    "rows a call", "CPU us", "x limit's", "server / client / other cores", "limit /s", "share",
)  # fmt: skip
_UNITS = {"predict": "sequences", "steps": "steps", "generate": "tokens"}


def table(results: Iterable[Result]) -> str:
    """Markdown; one row a load."""
    rows = [_COLUMNS, ("---",) * 3 + ("--:",) * (len(_COLUMNS) - 3)]
    rows += [_row(result) for result in results]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def conditions() -> dict[str, str]:
    """Where and when, and which settings were not the defaults."""
    settings = sorted(name for name in os.environ if name.startswith("RECUR_"))
    return {
        "command": f"python -m tests.load {' '.join(sys.argv[1:])}".rstrip(),
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "commit": _commit(),
        "machine": f"{os.cpu_count()} cores, {_processor()}, Linux {platform.release()}",
        "python": platform.python_version(),
        "packages": ", ".join(f"{name} {version(name)}" for name in _PACKAGES),
        "settings": " ".join(f"{name}={os.environ[name]}" for name in settings) or "defaults",
    }


def write_json(path: Path, results: Iterable[Result]) -> None:
    content = {"conditions": conditions(), "results": [asdict(result) for result in results]}
    path.write_text(json.dumps(content, indent=1) + "\n")


def _row(result: Result) -> tuple[str, ...]:
    case, figures = result.case, result.median
    return (
        case.model,
        _UNITS[case.part],
        f"{case.load}: {figures.asked_rate:,.0f}/s" if figures.asked_rate else case.load,
        f"{figures.rate:,.0f}",
        f"{figures.p50_ms:.1f}",
        f"{figures.p95_ms:.1f}",
        f"{figures.p99_ms:.1f}",
        f"{figures.first_p50_ms:.1f}" if case.part == "generate" else "",
        f"{figures.rows_a_call:.1f}",
        f"{figures.cpu_us:,.0f}",
        f"{figures.cpu_times:.2f}",
        f"{figures.server_cores:.2f} / {figures.client_cores:.2f} / {figures.other_cores:.2f}",
        f"{figures.limit_rate:,.0f}",
        f"{figures.limit_share:.0%}",
    )


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _commit() -> str:
    """With a + where the tree has changes of its own."""
    command = ["git", "describe", "--always", "--dirty=+", "--abbrev=9", "--exclude=*"]
    done = subprocess.run(command, cwd=_ROOT, capture_output=True, text=True, check=False)
    return done.stdout.strip() or "unknown"

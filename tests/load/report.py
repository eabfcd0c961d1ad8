"""Results to tables for people and JSON for programs, with all that one needs to repeat them."""

import json
import os
import platform
import subprocess
import sys
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from tests.load.contenders import Contender
from tests.load.figures import LIMIT, Case, Figures, Results, Value
from tests.load.goals import goals_of
from tests.load.server import ROOT
from tests.load.workload import Part

_PACKAGES = ("onnxruntime", "uvicorn", "starlette", "fastapi", "uvloop", "numpy")
_UNITS: dict[Part, str] = {"classify": "sequences/s", "step": "steps/s", "generate": "tokens/s"}
_TITLES: dict[Part, str] = {
    "classify": "Classification",
    "step": "Sessions, one step a request",
    "generate": "Generation, 128 tokens a stream",
}
_COLUMNS: tuple[tuple[str, Value, str], ...] = (
    ("p50 ms", lambda f: f.p50_ms, "{:.1f}"),
    ("p95 ms", lambda f: f.p95_ms, "{:.1f}"),
    ("p99 ms", lambda f: f.p99_ms, "{:.1f}"),
    ("first p50 ms", lambda f: f.first_p50_ms, "{:.1f}"),
    ("CPU us each", lambda f: f.cpu_us, "{:,.0f}"),
    ("server cores", lambda f: f.server_cores, "{:.2f}"),
    ("client", lambda f: f.client_cores, "{:.2f}"),
    ("other", lambda f: f.other_cores, "{:.2f}"),
)


def report(results: Results, contenders: Sequence[Contender]) -> str:
    """Markdown: the conditions, our goals, then every figure."""
    conditions = "\n".join(f"- {name}: {value}" for name, value in conditions_now().items())
    ours = [contender for contender in contenders if contender.is_ours]
    parts = [conditions, *(_goals(results, each, ours) for each in ours)]
    parts += [_figures(results, part) for part in _TITLES if results.cases(part)]
    if results.absent:
        parts.append("Not measured:\n\n" + "\n".join(f"- {line}" for line in results.absent))
    return "\n\n".join(parts) + "\n"


def conditions_now(program: str = "tests.load") -> dict[str, str]:
    """Where and when, and which settings were not the defaults."""
    settings = sorted(name for name in os.environ if name.startswith("RECUR_"))
    return {
        "command": f"`python -m {program} {' '.join(sys.argv[1:])}`".replace(" `", "`"),
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "commit": _commit(),
        "machine": f"{os.cpu_count()} cores, {_processor()}, Linux {platform.release()}",
        "python": platform.python_version(),
        "packages": ", ".join(f"{name} {version(name)}" for name in _PACKAGES),
        "settings": " ".join(f"{name}={os.environ[name]}" for name in settings) or "defaults",
    }


def write_json(path: Path, results: Results) -> None:
    content = {"conditions": conditions_now(), **asdict(results)}
    path.write_text(json.dumps(content, indent=1) + "\n")


def _goals(results: Results, contender: Contender, ours: Sequence[Contender]) -> str:
    fp32 = next((each.name for each in ours if not each.is_int8), contender.name)
    lines = [goal.line(results, contender.name) for goal in goals_of(contender, fp32=fp32)]
    table = _table(("what", "goal", "figure", ""), "llrl", lines)
    return f"### Goals: {contender.name}\n\n{table}"


def _figures(results: Results, part: Part) -> str:
    heads = ("load", "server", _UNITS[part], *(head for head, _, _ in _COLUMNS))
    rows = [
        _row(results, contender, case)
        for case in results.cases(part)
        for contender in results.contenders()
        if results.of(contender, case)
    ]
    return f"### {_TITLES[part]}\n\n{_table(heads, 'll' + 'r' * (len(heads) - 2), rows)}"


def _row(results: Results, contender: str, case: Case) -> tuple[str, ...]:
    def shown(value: Value, form: str) -> str:
        median = results.median(contender, case, value)
        return form.format(median) if median else ""

    notes = [figures.note for figures in results.of(contender, case).values()]
    load = notes[0] if contender == LIMIT else case.load
    asked = shown(_asked, " of {:,.0f}")
    return (
        load,
        contender,
        shown(_rate, "{:,.0f}") + asked,
        *(shown(value, form) for _, value, form in _COLUMNS),
    )


def _table(heads: Iterable[str], sides: str, rows: Iterable[Sequence[str]]) -> str:
    rules = ["--:" if side == "r" else "---" for side in sides]
    return "\n".join(f"| {' | '.join(row)} |" for row in [list(heads), rules, *rows])


def _rate(figures: Figures) -> float:
    return figures.rate


def _asked(figures: Figures) -> float:
    return figures.asked_rate


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _commit() -> str:
    """With a + where the tree has changes of its own."""
    command = ["git", "describe", "--always", "--dirty=+", "--abbrev=9", "--exclude=*"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    return done.stdout.strip() or "unknown"

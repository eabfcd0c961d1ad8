"""What a version's graphs cost beside its fused one: `python -m tests.load.graphs FOLDER...`.

Processor time of one thread, all graphs in turn within every round, so that a busy machine slows
them alike; the median of the rounds.
"""

import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median

import numpy as np

from service.artifact.artifact import read_manifest
from service.artifact.manifest import Manifest
from service.artifact.tasks import AudioInput, TextInput
from tests.load.report import conditions_now
from training.runner import Array, Runner

SHAPES = tuple((steps, rows) for steps in (1, 16) for rows in (1, 8, 16, 32, 64))
_ROUNDS = 9
_ROUND_SECONDS = 0.02


def main(folders: list[Path]) -> None:
    for name, value in conditions_now("tests.load.graphs").items():
        print(f"- {name}: {value}")
    for folder in folders:
        manifest = read_manifest(folder)
        runners = _runners(folder, manifest)
        print(f"\n| {manifest.name}: steps | rows | {' | '.join(runners)} |")
        print("|--:" * (2 + len(runners)) + "|")
        for steps, rows in SHAPES:
            print(_line(manifest, runners, steps=steps, rows=rows))


def _runners(folder: Path, manifest: Manifest) -> dict[str, Runner]:
    """The fused graph first, then those that the version has beside it."""
    specs = {"float32": manifest.graph}
    if manifest.int8 is not None:
        specs["int8"] = manifest.int8.graph
    runners = {name: Runner(folder / spec.file, spec) for name, spec in specs.items()}
    for name, spec in specs.items():
        if spec.step_file is not None:
            runners[f"{name} step"] = Runner(folder / spec.step_file, spec)
    return runners


def _line(manifest: Manifest, runners: dict[str, Runner], *, steps: int, rows: int) -> str:
    inputs = _inputs(manifest, rows, steps)
    state = runners["float32"].run(inputs).state
    calls = {
        name: partial(runner.run, inputs, state=state)
        for name, runner in runners.items()
        if steps == 1 or not name.endswith("step")
    }
    times = microseconds(calls)
    fused = times["float32"]
    cells = [
        f"{times[name]:,.0f} ({fused / times[name]:.2f}x)" if name in times else ""
        for name in runners
    ]
    return f"| {steps} | {rows} | {' | '.join(cells)} |"


def _inputs(manifest: Manifest, rows: int, steps: int) -> Array:
    draw = np.random.default_rng(0)
    if isinstance(manifest.input, TextInput):
        return draw.integers(0, manifest.input.num_tokens, (rows, steps))
    if isinstance(manifest.input, AudioInput):
        return draw.normal(0, 0.1, (rows, steps, manifest.input.hop)).astype(np.float32)
    shape = (rows, steps, len(manifest.input.features))
    return draw.normal(0, 10, shape).astype(np.float32)


def microseconds(calls: dict[str, Callable[[], object]]) -> dict[str, float]:
    """Of processor time, each call's; all in turn within every round."""
    repeats = {
        name: max(1, int(_ROUND_SECONDS / _seconds(call, 3))) for name, call in calls.items()
    }
    rounds = [
        {name: _seconds(call, repeats[name]) for name, call in calls.items()}
        for _ in range(_ROUNDS)
    ]
    return {name: median(one[name] for one in rounds) * 1e6 for name in calls}


def _seconds(call: Callable[[], object], repeats: int) -> float:
    started = time.process_time()
    for _ in range(repeats):
        call()
    return max(1e-6, time.process_time() - started) / repeats


if __name__ == "__main__":
    main([Path(name) for name in sys.argv[1:]])

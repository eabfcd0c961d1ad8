"""`python -m tests.load.soak --minutes 30`: mixed load, every answer checked, memory watched."""

from enum import StrEnum
from typing import Annotated

import numpy as np
import typer
from numpy.typing import NDArray

from tests.load.report import conditions_now
from tests.load.results import write_section
from tests.load.soak.run import SCENES, Soak, SoakOptions, soak

_BLOCKED_MS = 20.0

Kind = StrEnum("Kind", [*(scene.__name__ for _, scene in SCENES), "visit"])


def main(
    minutes: Annotated[float, typer.Option(min=0.01)] = 30.0,
    clients: Annotated[int, typer.Option(min=1)] = 12,
    seed: Annotated[int, typer.Option(help="The same seed asks for the same things.")] = 1,
    write: Annotated[bool, typer.Option("--write", help="RESULTS.md.")] = False,
    float32: Annotated[bool, typer.Option("--float32", help="Never serve int8.")] = False,
    scene: Annotated[list[Kind] | None, typer.Option(help="Only these kinds of load.")] = None,
) -> None:
    """Exits with 1 if a row was lost or an answer wrong."""
    precision = "float32" if float32 else "auto"
    named = [one.value for one in scene or ()]
    done = soak(SoakOptions(minutes * 60, clients, seed, precision, named))
    conditions = conditions_now("tests.load.soak").items()
    failures = "\n".join(f"- {failure}" for failure in done.failures)
    text = "\n".join(f"- {name}: {value}" for name, value in conditions)
    text += f"\n\n{summary(done)}\n\n{failures}"
    typer.echo(text)
    if write:
        write_section("soak", text)
    raise typer.Exit(1 if done.failures else 0)


def summary(done: Soak) -> str:
    """Markdown."""
    scenes = ", ".join(f"{count:,} {name}" for name, count in sorted(done.scenes.items()))
    waits, late = done.waits * 1e3, done.late * 1e3
    lag, memory = done.lag, done.memory
    minutes = ", ".join(f"{megabytes:.0f}" for megabytes in memory.minutes)
    lines = [
        f"{done.seconds / 60:.1f} minutes: {scenes}",
        f"{done.asked:,} requests, {done.asked - done.answered:,} without an answer; "
        f"{done.left:,} more whose clients left",
        f"{done.checked:,} predictions and tokens compared with the reference, "
        f"{len(done.failures)} failures",
        f"memory by the minute, MB: {minutes}; {memory.most:.0f} at most",
        f"memory in the second half: {'growing' if memory.grows else 'flat'}, by a line through it "
        f"of {memory.slope:+.1f} MB an hour with a standard error of {memory.error:.1f}",
        f"the event loop's own timer: {lag.looks:,} looks, {lag.above(0.005):,} late by more than "
        f"5 ms, {lag.above(0.02):,} by more than {_BLOCKED_MS:.0f} ms, none by more than "
        f"{lag.most * 1e3:.0f} ms; its thread waited for a processor {done.queued:.1%} of the time",
        f"a probe every 50 ms was answered within {_spread(waits)}; "
        f"{(waits > _BLOCKED_MS).sum():,} of {len(waits):,} above {_BLOCKED_MS:.0f} ms",
        f"the probe's own timer was late by {_spread(late)}: that is the processors' queue",
        f"server: {done.server_cores:.2f} cores",
    ]
    return "\n".join(f"- {line}" for line in lines)


def _spread(milliseconds: NDArray[np.float64]) -> str:
    p50, p99, most = np.percentile(milliseconds, [50, 99, 100])
    return f"{p50:.1f} ms (p50), {p99:.1f} ms (p99), {most:.1f} ms at most"


if __name__ == "__main__":
    typer.run(main)

"""`python -m tests.load`: the service beside its peers and the machine's limit, in one run."""

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, cast, get_args

import typer

from tests.load import contenders as known
from tests.load import resting
from tests.load.compare import Options, compare
from tests.load.contenders import Contender
from tests.load.figures import Results
from tests.load.integers import add_integers
from tests.load.models import write_models
from tests.load.picture import draw
from tests.load.report import report, write_json
from tests.load.results import PICTURE, write_section
from tests.load.workload import Part

_DEFAULTS = Options()
_OURS = ("ours", "ours int8")
_WORKS = (*get_args(Part), "idle", "start")


def main(
    secs: Annotated[float, typer.Option(min=0.1, help="Of each measurement.")] = _DEFAULTS.seconds,
    warm: Annotated[
        float, typer.Option(min=0.0, help="Before each, not counted.")
    ] = _DEFAULTS.warm_seconds,
    rounds: Annotated[int, typer.Option(min=1, help="Figures are their medians.")] = 3,
    works: Annotated[str, typer.Option(help="Only these.")] = ",".join(_WORKS),
    only: Annotated[str, typer.Option(help="Servers: plain, handmade, triton, or of ours.")] = "",
    ours: Annotated[
        list[str] | None,
        typer.Option(
            help="NAME:SETTING=VALUE,... of ours, int8 if that is in its name; repeat it."
        ),
    ] = None,
    triton: Annotated[
        Path | None,
        typer.Option(envvar="TRITON_PYTHON", help="Has peers/requirements-triton.txt."),
    ] = None,
    clients: Annotated[str, typer.Option(help="Closed loops of classifications.")] = ",".join(
        map(str, _DEFAULTS.clients)
    ),
    models: Annotated[Path | None, typer.Option(help="Random ones, kept from before.")] = None,
    idle_secs: Annotated[float, typer.Option(min=1.0)] = 20.0,
    quiet: Annotated[float, typer.Option(help="Repeat where others used more cores.")] = 0.15,
    json: Annotated[Path | None, typer.Option(help="Write every measurement there.")] = None,
    write: Annotated[bool, typer.Option("--write", help="RESULTS.md and its picture.")] = False,
) -> None:
    """Rounds in which all take turns; medians, ratios and goals at the end."""
    asked = _works(works)
    options = Options(
        seconds=secs,
        warm_seconds=warm,
        rounds=rounds,
        parts=tuple(cast("list[Part]", [work for work in asked if work in get_args(Part)])),
        clients=tuple(int(count) for count in clients.split(",")),
        quiet_cores=quiet,
    )
    contenders = _contenders(ours or _OURS, triton, only)
    results = Results()
    with tempfile.TemporaryDirectory(prefix="recur-load-") as made:
        if models is None:
            write_models(Path(made))
            add_integers(Path(made))
        compare(models or Path(made), contenders, options, results=results, say=typer.echo)
    _rest(results, contenders, asked, rounds=rounds, idle_seconds=idle_secs)
    text = report(results, contenders)
    typer.echo(f"\n{text}")
    if json is not None:
        write_json(json, results)
    if write:
        write_section("comparison", text)
        draw(results, PICTURE)


def _works(given: str) -> list[str]:
    works = given.split(",")
    if unknown := set(works) - set(_WORKS):
        raise typer.BadParameter(f"--works {', '.join(sorted(unknown))}")
    return works


def _contenders(ours: Sequence[str], triton: Path | None, only: str) -> list[Contender]:
    peers = [known.plain(), known.handmade()]
    if triton is not None:
        peers.append(known.triton(triton))
    everyone = [*peers, *map(_ours, ours)]
    names = only.split(",") if only else [contender.name for contender in everyone]
    if unknown := set(names) - {contender.name for contender in everyone}:
        raise typer.BadParameter(f"--only {', '.join(sorted(unknown))}")
    return [contender for contender in everyone if contender.name in names]


def _ours(text: str) -> Contender:
    """`NAME` or `NAME:RECUR_THIS=1,RECUR_THAT=2`."""
    name, _, settings = text.partition(":")
    pairs = [setting.partition("=") for setting in settings.split(",") if setting]
    precision = "auto" if "int8" in name else "float32"
    return known.ours(name, {variable: value for variable, _, value in pairs}, precision)


def _rest(
    results: Results,
    contenders: Sequence[Contender],
    works: Sequence[str],
    *,
    rounds: int,
    idle_seconds: float,
) -> None:
    for contender in contenders:
        if contender.is_ours and "start" in works:
            results.rests.append(resting.start(contender, times=rounds))
            typer.echo(results.rests[-1])
        if contender.is_ours and "idle" in works:
            results.rests.append(resting.idle(contender, seconds=idle_seconds))
            typer.echo(results.rests[-1])


if __name__ == "__main__":
    typer.run(main)

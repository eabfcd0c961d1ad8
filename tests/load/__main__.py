"""`python -m tests.load --secs 5`: starts the service, loads it, prints what came of it."""

import contextlib
import math
import tempfile
from collections.abc import Generator
from pathlib import Path
from typing import Annotated, cast, get_args

import typer

from tests.load.drive import LoadFailed
from tests.load.models import write_models
from tests.load.reference import WrongAnswer
from tests.load.report import conditions, table, write_json
from tests.load.server import Server, ServerFailed
from tests.load.suite import Options, run_suite
from tests.load.workload import Part

_DEFAULTS = Options()


def main(
    secs: Annotated[float, typer.Option(min=0.1, help="Of each measurement.")] = 5.0,
    warm: Annotated[float, typer.Option(min=0.0, help="Before each, not counted.")] = 1.0,
    rounds: Annotated[int, typer.Option(min=1, help="The table has their medians.")] = 3,
    models: Annotated[Path | None, typer.Option(help="Published ones; random if absent.")] = None,
    model: Annotated[list[str] | None, typer.Option(help="Only these; repeat it.")] = None,
    part: Annotated[list[str] | None, typer.Option(help="predict, steps, generate.")] = None,
    clients: Annotated[str, typer.Option(help="Closed loops of predictions.")] = "1,32,128",
    shares: Annotated[str, typer.Option(help="Open loops, of the best closed one.")] = "0.5,0.8",
    sessions: Annotated[int, typer.Option(min=1)] = _DEFAULTS.sessions,
    streams: Annotated[int, typer.Option(min=1)] = _DEFAULTS.streams,
    tokens: Annotated[int, typer.Option(min=1, help="Of each stream.")] = _DEFAULTS.tokens,
    sampled: Annotated[bool, typer.Option("--sampled", help="Draw tokens at random.")] = False,
    quiet: Annotated[float, typer.Option(help="Repeat where others used more cores.")] = math.inf,
    json: Annotated[Path | None, typer.Option(help="Write every run's figures.")] = None,
) -> None:
    """Medians of closed and open loops on the real service, beside ONNX Runtime alone."""
    options = Options(
        seconds=secs,
        warm_seconds=warm,
        rounds=rounds,
        parts=_parts(part),
        models=tuple(model or ()),
        clients=tuple(int(count) for count in clients.split(",")),
        shares=tuple(float(share) for share in shares.split(",") if share),
        sessions=sessions,
        streams=streams,
        tokens=tokens,
        sampled=sampled,
        quiet_cores=quiet,
    )
    try:
        with _models(models) as folder, Server(folder) as server:
            results = run_suite(server, folder, options)
    except (LoadFailed, WrongAnswer, ServerFailed) as error:
        typer.echo(f"{type(error).__name__}: {error}", err=True)
        raise typer.Exit(1) from None
    for name, value in conditions().items():
        typer.echo(f"- {name}: {value}")
    typer.echo(f"\n{table(results)}")
    if json is not None:
        write_json(json, results)


def _parts(given: list[str] | None) -> tuple[Part, ...]:
    unknown = set(given or ()) - set(get_args(Part))
    if unknown:
        raise typer.BadParameter(f"--part {', '.join(sorted(unknown))}")
    return tuple(cast("list[Part]", given)) if given else _DEFAULTS.parts


@contextlib.contextmanager
def _models(published: Path | None) -> Generator[Path]:
    if published is not None:
        yield published
        return
    with tempfile.TemporaryDirectory(prefix="recur-load-") as folder:
        write_models(Path(folder))
        yield Path(folder)


if __name__ == "__main__":
    typer.run(main)

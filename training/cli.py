"""The command line: names in, tables out. Decides nothing."""

import logging
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from service.errors import ArtifactError
from training.config import Precision, RunConfig
from training.data.build import build as build_data
from training.data.origin import DataError
from training.evaluation.comparison import AccuracyLost
from training.evaluation.evaluation import Evaluation
from training.export.claims import VerificationError
from training.export.lowering.rewriting import LoweringError
from training.fit import FitError
from training.recipes import steps
from training.recipes.quantization import publish_quantized
from training.recipes.registry import UnknownRecipe, find_recipe, recipes
from training.recipes.steps import Folders

app = typer.Typer(no_args_is_help=True, add_completion=False, help=__doc__)
_console = Console()

Name = Annotated[str, typer.Argument(help="A recipe: char-lm, question-type, ...")]
Runs = Annotated[Path, typer.Option("--runs", help="Folder of checkpoints and curves.")]
Models = Annotated[Path, typer.Option("--models", help="Folder of published versions.")]
_FORESEEN = (
    UnknownRecipe,
    DataError,
    FitError,
    LoweringError,
    VerificationError,
    AccuracyLost,
    ArtifactError,
)
_RUNS, _MODELS = Path("runs"), Path("models")


@app.command("train")
def train_command(
    name: Annotated[str | None, typer.Argument(help="A recipe.")] = None,
    list_recipes: Annotated[bool, typer.Option("--list", help="List the recipes.")] = False,
    resume: Annotated[bool, typer.Option(help="Go on after the last whole epoch.")] = False,
    devices: Annotated[int | None, typer.Option(help="Number of devices.")] = None,
    accelerator: Annotated[str | None, typer.Option(help="cpu, gpu, auto.")] = None,
    precision: Annotated[Precision | None, typer.Option(help="Arithmetic of training.")] = None,
    max_epochs: Annotated[int | None, typer.Option(min=1)] = None,
    seed: Annotated[int | None, typer.Option()] = None,
    threads: Annotated[int | None, typer.Option(min=1, help="CPU threads.")] = None,
    runs: Runs = _RUNS,
) -> None:
    """Train a recipe into RUNS/NAME."""
    if list_recipes or name is None:
        _print_recipes()
        return
    folders = Folders(runs=runs)
    config = find_recipe(name)
    if resume:
        config = steps.run_config(config.name, folders)
    config = replace(
        config,
        devices=config.devices if devices is None else devices,
        accelerator=config.accelerator if accelerator is None else accelerator,
        precision=config.precision if precision is None else precision,
        seed=config.seed if seed is None else seed,
        threads=config.threads if threads is None else threads,
        optim=replace(config.optim, max_epochs=max_epochs or config.optim.max_epochs),
    )
    steps.train(config, folders, resume=resume, progress=_console.is_terminal)
    _console.print(f"trained: {runs / config.name}")


@app.command("evaluate")
def evaluate_command(name: Name, runs: Runs = _RUNS, models: Models = _MODELS) -> None:
    """Measure the newest published version, or the last run, on the test split."""
    evaluated = steps.evaluate_latest(find_recipe(name).name, Folders(runs, models))
    _console.print(f"measured with ONNX Runtime: {evaluated.subject}")
    _print_figures(evaluated.evaluation)


@app.command("export")
def export_command(name: Name, folder: Path, runs: Runs = _RUNS, models: Models = _MODELS) -> None:
    """Verify the last run and write its artifact to FOLDER."""
    folders = Folders(runs, models)
    steps.export(steps.run_config(find_recipe(name).name, folders), folders, folder=folder)
    _console.print(f"exported: {folder}")


@app.command("publish")
def publish_command(name: Name, runs: Runs = _RUNS, models: Models = _MODELS) -> None:
    """Verify the last run and write it as the next version."""
    folders = Folders(runs, models)
    folder = steps.publish(steps.run_config(find_recipe(name).name, folders), folders)
    _console.print(f"published: {folder}")


@app.command("quantize")
def quantize_command(name: Name, models: Models = _MODELS) -> None:
    """Write the newest published version in integers as the next one, if they are good enough."""
    made = publish_quantized(find_recipe(name).name, Folders(models=models))
    table = Table("metric", "float32", "int8", "loss")
    for pair in made.compared:
        values = (f"{pair.floats.value:.4f}", f"{pair.integers.value:.4f}", f"{pair.loss:+.3%}")
        table.add_row(pair.floats.name, *values)
    _console.print(table)
    _console.print(f"published: {made.folder}")


@app.command("data")
def data_command(name: Name) -> None:
    """Fetch a recipe's data and say what it holds."""
    config = find_recipe(name)
    facts = build_data(config.data, config.seed).facts
    table = Table(title=facts.title, show_header=False)
    for split, held in facts.splits:
        table.add_row(split, held)
    table.add_row("licence", facts.licence)
    table.add_row("source", facts.source)
    if facts.note:
        table.add_row("note", facts.note)
    _console.print(table)


def main() -> None:
    """Run, and tell what went wrong in one line; anything unforeseen keeps its traceback."""
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    try:
        app()
    except _FORESEEN as error:
        Console(stderr=True).print(f"recur: {error}", style="red", markup=False)
        raise SystemExit(1) from None


def _print_recipes() -> None:
    table = Table("recipe", "data", "model", "description")
    for name, config in recipes().items():
        table.add_row(name, config.data.dataset, _model(config), config.description)
    _console.print(table)


def _model(config: RunConfig) -> str:
    model = config.model
    directions = ", both directions" if model.bidirectional else ""
    return f"{model.layers} x {model.cell} {model.hidden}{directions}"


def _print_figures(evaluation: Evaluation) -> None:
    table = Table("metric", "split", "this model", "baseline", "published")
    for metric in evaluation.metrics:
        baseline = "" if metric.baseline is None else f"{metric.baseline:.4f}"
        table.add_row(
            metric.name,
            metric.split,
            f"{metric.value:.4f}",
            f"{baseline} ({metric.baseline_name})",
            metric.reference or "none verified",
        )
    _console.print(table)

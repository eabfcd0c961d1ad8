"""From a recipe to a published version: train, evaluate, export, publish. The only wiring."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch

from service.artifact.artifact import load_artifact
from training.config import RunConfig, dump_config, load_config
from training.data.build import AnyData
from training.data.build import build as build_data
from training.evaluation.card import CURVE_FILE, CardFacts, render_card
from training.evaluation.evaluate import evaluate
from training.evaluation.evaluation import Evaluation
from training.evaluation.plots import Curve, curve_picture
from training.export.claims import VerificationError
from training.export.encoder_decoder import PairGraphs, build_graphs
from training.export.graph import Graph, with_step
from training.export.halves import halved
from training.export.manifest import meaning
from training.export.networks import build_graph
from training.export.publish import Findings, latest_version, next_version, write_artifact
from training.export.verify import verify
from training.export.verify_lowered import Lowered, keeps_every_bit, values_of, verify_step
from training.export.verify_pairs import verify_pairs
from training.fit import FitError, fit, load_kept, read_curve
from training.nn.encoder_decoder import EncoderDecoder
from training.runner import open_runner
from training.tasks.build import AnyTask
from training.tasks.build import build as build_task
from training.tasks.task import TRAIN_LOSS, VALIDATION_LOSS

CARD_FILE = "card.md"
RECIPE_FILE = "recipe.json"
"""The run's value, beside its checkpoints and beside what was published of it."""


@dataclass(frozen=True, slots=True)
class Folders:
    """Where runs are kept, and where versions are published."""

    runs: Path = Path("runs")
    models: Path = Path("models")

    def run(self, name: str) -> Path:
        return self.runs / name


@dataclass(frozen=True, slots=True)
class Evaluated:
    """Figures, and of what they are."""

    subject: str
    evaluation: Evaluation


def train(
    config: RunConfig, folders: Folders, *, resume: bool = False, progress: bool = False
) -> AnyTask:
    """Train and return the task with the weights of the epoch kept."""
    data = build_data(config.data, config.seed)
    task = _untrained(config, data)
    folder = folders.run(config.name)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / RECIPE_FILE).write_bytes(dump_config(config))
    fit(config, task, data, folder=folder, resume=resume, progress=progress)
    load_kept(task, folder)
    return task


def run_config(name: str, folders: Folders) -> RunConfig:
    """The value that the last run of `name` was trained by; raises FitError if there is no run."""
    recipe = folders.run(name) / RECIPE_FILE
    if not recipe.exists():
        raise FitError(f"no trained model: {recipe} does not exist")
    return load_config(recipe.read_bytes())


def evaluate_latest(name: str, folders: Folders) -> Evaluated:
    """Figures of the newest published version, or of the last run where none is published.

    Data and reference are those of the value that it was trained by, not of today's recipe.
    """
    published = latest_version(folders.models, name)
    if published is None:
        config = run_config(name, folders)
        data = build_data(config.data, config.seed)
        network = _trained(config, data, folders).network
        pair = isinstance(network, EncoderDecoder)
        graph = _pair_graphs(network) if pair else build_graph(network)
        return Evaluated(str(folders.run(name)), evaluate(config, data, graph.runner()))
    artifact = load_artifact(published)
    config = load_config((published / RECIPE_FILE).read_bytes())
    data = build_data(config.data, config.seed)
    return Evaluated(str(published), evaluate(config, data, open_runner(artifact)))


def publish(config: RunConfig, folders: Folders) -> Path:
    """Verify the last run and write it as the next version; returns its folder."""
    version = next_version(folders.models, config.name)
    folder = folders.models / config.name / str(version)
    export(config, folders, folder=folder)
    return folder


def export(config: RunConfig, folders: Folders, *, folder: Path) -> None:
    """Verify the last run and write it to `folder`, which must not exist.

    Raises VerificationError, and writes nothing, if the graph is not what was trained.
    """
    data = build_data(config.data, config.seed)
    task = _trained(config, data, folders)
    proven = _proven(task, data)
    graph, verification = proven.graph, proven.verification
    evaluation = evaluate(config, data, graph.runner())
    curve = read_curve(folders.run(config.name))
    version = next_version(folders.models, config.name)
    facts = CardFacts(
        version=version,
        data=data.facts,
        num_weights=sum(weight.numel() for weight in task.network.parameters()),
        num_bytes=sum(map(len, graph.files.values())),
        num_epochs=len(curve),
        verification=verification,
    )
    curves = [
        Curve(name, [p.epoch for p in curve], [p.figures[name] for p in curve])
        for name in (TRAIN_LOSS, VALIDATION_LOSS)
    ]
    write_artifact(
        folder,
        graph,
        Findings(evaluation.metrics, verification),
        config=config,
        data=data,
        version=version,
        pages={
            CARD_FILE: render_card(config, facts, evaluation).encode(),
            CURVE_FILE: curve_picture(curves),
            **{picture.name: picture.png for picture in evaluation.pictures},
            RECIPE_FILE: dump_config(config),
        },
    )


@dataclass(frozen=True, slots=True)
class _Proven:
    graph: Graph | PairGraphs
    verification: Mapping[str, float]
    """The largest difference seen for every claim."""


def _proven(task: AnyTask, data: AnyData) -> _Proven:
    network = task.network
    if isinstance(network, EncoderDecoder):
        graphs = _pair_graphs(network)
        return _Proven(graphs, verify_pairs(network, graphs))
    graph = build_graph(network)
    verification = verify(network, graph)
    stepped = with_step(graph)
    claims = _step_claims(stepped, task, data)
    if not keeps_every_bit(claims):
        return _Proven(graph, verification)
    return _Proven(stepped, verification | claims)


def _pair_graphs(network: EncoderDecoder) -> PairGraphs:
    """Of weights that are rounded to what is kept of them: they are what is measured, too."""
    halved(network)
    return build_graphs(network)


def _step_claims(graph: Graph, task: AnyTask, data: AnyData) -> dict[str, float]:
    """None of a graph of single steps that rounds too far apart: it is left out, like any that
    rounds apart at all. Large scores of a GRU may."""
    try:
        return verify_step(_lowered(graph), values_of(meaning(data, task.config).input))
    except VerificationError:
        return {}


def _lowered(graph: Graph) -> Lowered:
    step = None if graph.step is None else graph.step.SerializeToString()
    return Lowered(graph.spec, graph.model.SerializeToString(), step)


def _untrained(config: RunConfig, data: AnyData) -> AnyTask:
    torch.manual_seed(config.seed)
    return build_task(config, data)


def _trained(config: RunConfig, data: AnyData, folders: Folders) -> AnyTask:
    task = _untrained(config, data)
    load_kept(task, folders.run(config.name))
    return task

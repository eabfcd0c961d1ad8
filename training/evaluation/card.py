"""The model card: what a model is, what it was measured at, and what to mind."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from service.artifact.manifest import Metric
from training.config import ModelConfig, RunConfig
from training.data.batches import DataFacts
from training.evaluation.comparison import Compared
from training.evaluation.evaluation import Evaluation, Picture

CURVE_FILE = "curve.png"
_KEPT = {
    "best": "The epoch with the lowest validation loss is kept.",
    "last": "The last epoch is kept, where the rate has come down to zero.",
}


@dataclass(frozen=True, slots=True)
class CardFacts:
    """What the card says beside the recipe and the figures."""

    version: int
    data: DataFacts
    num_weights: int
    num_bytes: int
    num_epochs: int
    verification: Mapping[str, float]


def render_card(config: RunConfig, facts: CardFacts, evaluation: Evaluation) -> str:
    """The card as Markdown; pictures are files beside it."""
    sections = [
        f"# {config.name}, version {facts.version}",
        config.description,
        _figures(evaluation.metrics),
        _references(config),
        _data(facts.data),
        _model(config, facts),
        f"## Learning curve\n\n![learning curve]({CURVE_FILE})",
        "\n\n".join(["## A look", *map(_picture, evaluation.pictures)]),
        _sample(evaluation),
        _verification(facts.verification),
        _bullets("Mind", config.caveats),
    ]
    return "\n\n".join(section for section in sections if section) + "\n"


def with_integers(
    card: str, version: int, compared: Sequence[Compared], verification: Mapping[str, float]
) -> str:
    """The card of a version made from another's: its number, and what integers cost."""
    title, rest = card.split("\n", 1)
    name = title.rsplit(", version ", 1)[0]
    return f"{name}, version {version}\n{rest}\n" + _integers(compared, verification)


def _integers(compared: Sequence[Compared], verification: Mapping[str, float]) -> str:
    lines = [
        "## In integers",
        "",
        "The same weights as signed bytes, a scale for each column; a processor with fast products "
        "of bytes is served these graphs, any other the float32 ones.",
        "",
        "| metric | float32 | int8 | loss |",
        "|---|---|---|---|",
    ]
    for pair in compared:
        values = f"{pair.floats.value:.4f} | **{pair.integers.value:.4f}** | {pair.loss:+.3%}"
        lines.append(f"| {pair.floats.name} | {values} |")
    return "\n".join([*lines, "", *_claims(verification)]) + "\n"


def _figures(metrics: tuple[Metric, ...]) -> str:
    lines = [
        "## Figures",
        "",
        "| metric | this model | baseline | split |",
        "|---|---|---|---|",
    ]
    for metric in metrics:
        baseline = "none" if metric.baseline is None else f"{metric.baseline:.4f}"
        lines.append(
            f"| {metric.name}, {'lower' if metric.lower_is_better else 'higher'} is better "
            f"| **{metric.value:.4f}** | {baseline} ({metric.baseline_name}) | {metric.split} |"
        )
    lines += ["", "Measured on the published graph with ONNX Runtime."]
    return "\n".join(lines)


def _references(config: RunConfig) -> str:
    if not config.references:
        return "Published reference: none verified for exactly this data and split."
    return _bullets("Published", tuple(f"{r.text}; {r.source}" for r in config.references))


def _data(data: DataFacts) -> str:
    splits = "\n".join(f"| {name} | {held} |" for name, held in data.splits)
    return (
        f"## Data\n\n{data.title}. {data.note}\n\n| split | holds |\n|---|---|\n{splits}\n\n"
        f"Source: {data.source}  \nLicence of the data: {data.licence}"
    )


def _model(config: RunConfig, facts: CardFacts) -> str:
    model, optim = config.model, config.optim
    directions = _kind(model)
    if config.data.target_tokens:
        kind = "without" if model.attention is None else f"with {model.attention}"
        directions += f", and a decoder {kind} attention"
    return (
        f"## Model\n\n{model.layers} x {model.cell} of {model.hidden} units, {directions}; "
        f"{facts.num_weights:,} weights, {facts.num_bytes / 1e6:.2f} MB as ONNX.\n\n"
        f"Trained {facts.num_epochs} epochs with AdamW (learning rate {optim.learning_rate:g}, "
        f"weight decay {optim.weight_decay:g}), dropout {model.dropout:g}, seed {config.seed}, "
        f"precision {config.precision}. {_KEPT[optim.keep]}"
    )


def _kind(model: ModelConfig) -> str:
    """Directions, and what else is between the layers."""
    words = ["causal"]
    if model.bidirectional:
        words = ["both directions" if model.combine == "concat" else f"{model.combine} of both"]
    words += ["residual"] if model.residual else []
    words += ["normalised"] if model.layer_norm else []
    words += [f"{model.heads} heads of attention"] if model.heads > 1 else []
    return ", ".join(words)


def _picture(picture: Picture) -> str:
    return f"![a look]({picture.name})\n\n{picture.caption}"


def _sample(evaluation: Evaluation) -> str:
    if not evaluation.sample:
        return ""
    return f"## A sample\n\n{evaluation.sample_note}\n\n```text\n{evaluation.sample}\n```"


def _verification(verification: Mapping[str, float]) -> str:
    return "\n".join(["## Verified at export", "", *_claims(verification)])


def _claims(verification: Mapping[str, float]) -> list[str]:
    lines = ["| claim | largest difference |", "|---|---|"]
    for claim, difference in verification.items():
        seen = "none, bit for bit" if difference == 0 else f"{difference:.1e}"
        lines.append(f"| {claim.replace('_', ' ')} | {seen} |")
    return lines


def _bullets(title: str, items: tuple[str, ...]) -> str:
    if not items:
        return ""
    return "\n".join([f"## {title}", "", *(f"- {item}" for item in items)])

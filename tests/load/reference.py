"""What the answers must be: the same graphs run in this process, one row at a time, no batches."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from service.artifact.artifact import Artifact, load_artifact
from service.artifact.graphs import GraphSpec
from service.artifact.scores import softmax
from service.artifact.tasks import (
    AnomalyOutput,
    ClassificationOutput,
    CtcOutput,
    ForecastingOutput,
    LanguageModelingOutput,
    RegressionOutput,
    TaggingOutput,
)
from service.registry.form import choose_form
from service.runtime.session import RuntimeConfig
from tests.load.drive import Answer, Answers
from tests.load.wire import Probabilities, Request
from tests.load.workload import Part, Work

Precision = Literal["auto", "float32"]
"""As in the service's settings: the model's int8 form where that is fast, or never."""

MODELS: dict[Part, str] = {
    "classify": "random-classifier",
    "step": "random-steps",
    "generate": "random-lm",
}
NEAR = 1e-4
"""What an answer may be off: batches of other sizes add in another order."""
_MAX_CHUNKS = 100
"""Of a session that is followed from its beginning."""
_START_TOKEN = 0
"""Of the language model; stands before every prompt."""


class WrongAnswer(Exception):
    """An answer differs from what the graph gives."""


class Reference:
    """One model of the folder `models`, its newest version, on one thread."""

    def __init__(self, models: Path, name: str, precision: Precision = "float32") -> None:
        newest = max((p for p in (models / name).iterdir() if p.name.isdigit()), key=_number)
        self.artifact: Artifact = load_artifact(newest)
        self.manifest = self.artifact.manifest
        config = RuntimeConfig(device="cpu", threads=1, precision=precision)
        self.graph: GraphSpec = choose_form(self.artifact, config).graph
        self.session = open_graph(newest / self.graph.file)

    @property
    def answer_name(self) -> str:
        match self.manifest.output:
            case ForecastingOutput(forecast=name) | AnomalyOutput(score=name):
                return name
            case RegressionOutput(value=name) | TaggingOutput(scores=name):
                return name
            case ClassificationOutput(logits=name) | LanguageModelingOutput(logits=name):
                return name
            case CtcOutput(logits=name):
                return name

    def run(self, inputs: NDArray[Any]) -> NDArray[np.float32]:
        """The answer's tensor for one row from the zero state, `[time, ...]` or `[...]`."""
        feeds: dict[str, NDArray[Any]] = {
            self.graph.input.name: inputs[None].astype(self.graph.input.dtype),
            self.graph.lengths: np.array([len(inputs)], np.int32),
        }
        return run_graph(self.session, [self.answer_name], feeds | zero_state(self.graph, 1))[0][0]


def check(reference: Reference, work: Work, answers: Answers, *, near: float = NEAR) -> int:
    """How many rows were compared. Raises WrongAnswer.

    `near` is what probabilities, and logits relative to the largest, may be off.
    """
    match work.part:
        case "classify":
            return sum(_check_classes(reference, work, lane, near=near) for lane in answers)
        case "step":
            openings = work.opening[: len(answers)]
            return sum(
                _check_sessions(reference, work, lane, opening=opening, near=near)
                for lane, opening in zip(answers, openings, strict=True)
            )
        case "generate":
            return sum(_check_tokens(reference, work, lane, near=near) for lane in answers)


def _check_classes(
    reference: Reference, work: Work, answers: Sequence[Answer], *, near: float
) -> int:
    for answer in answers:
        (tokens,) = answer.request.rows
        (seen,) = work.wire.probabilities(answer.body)
        _compare(seen, softmax(reference.run(tokens)[-1]), near=near)
    return len(answers)


def _check_sessions(
    reference: Reference,
    work: Work,
    answers: Sequence[Answer],
    *,
    opening: tuple[Request, ...],
    near: float,
) -> int:
    """Each row of a lane's requests is a session, which may have had a step at its opening."""
    answers = answers[:_MAX_CHUNKS]
    seen = [work.wire.probabilities(answer.body) for answer in answers]
    for place, opened in enumerate(opening):
        chunks = [*opened.rows, *(answer.request.rows[place] for answer in answers)]
        expected = softmax(reference.run(np.concatenate(chunks)))[len(opened.rows) :]
        for rows, row in zip(seen, expected, strict=True):
            _compare(rows[place], row, near=near)
    return len(answers) * len(opening)


def _check_tokens(
    reference: Reference, work: Work, answers: Sequence[Answer], *, near: float
) -> int:
    """Each token must be the likeliest after those before it, as they were sent."""
    for answer in answers:
        (prompt,) = answer.request.rows
        tokens = work.wire.tokens(answer.body)
        if len(tokens) != answer.request.num_tokens:
            raise WrongAnswer(f"{len(tokens)} tokens of {answer.request.num_tokens}")
        context = np.array([_START_TOKEN, *prompt, *tokens[:-1]])
        scores = reference.run(context)[len(prompt) :]
        for place, (row, token) in enumerate(zip(scores, tokens, strict=True)):
            if row[token] < row.max() - near * max(1.0, abs(float(row.max()))):
                raise WrongAnswer(f"token {place} of {tokens} is not the likeliest")
    return len(answers)


def _compare(seen: Probabilities, expected: Probabilities, *, near: float) -> None:
    if seen.shape != expected.shape or not (off := np.abs(seen - expected).max()) <= near:
        raise WrongAnswer(f"{seen.shape}, {expected.shape}: {off:.3g} off")


def open_graph(path: Path) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def run_graph(
    session: ort.InferenceSession, names: Sequence[str], feeds: Mapping[str, NDArray[Any]]
) -> list[NDArray[Any]]:
    return cast("list[NDArray[Any]]", session.run(names, feeds))


def zero_state(graph: GraphSpec, rows: int) -> dict[str, NDArray[np.float32]]:
    """By the name of the graph's input."""
    return {
        spec.input: np.zeros([d if isinstance(d, int) else rows for d in spec.shape], np.float32)
        for spec in graph.state
    }


def _number(folder: Path) -> int:
    return int(folder.name)

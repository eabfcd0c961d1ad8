"""What the answers must be: the same graph run in this process, one row at a time, no batches."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from service.artifact.artifact import Artifact, load_artifact
from service.artifact.labels import log_softmax, softmax
from service.artifact.manifest import (
    ClassificationOutput,
    ForecastingOutput,
    LanguageModelingOutput,
    Manifest,
)
from service.engine.sampling import uniform
from tests.load.drive import Answer
from tests.load.wire import read_generated
from tests.load.workload import Part

_MAX_STEPS = 2000
"""Of a session that is replayed whole."""


class WrongAnswer(Exception):
    """An answer differs from what the graph gives."""


class Reference:
    """One model of `models`, its newest version, on one thread."""

    def __init__(self, models: Path, name: str) -> None:
        newest = max((p for p in (models / name).iterdir() if p.name.isdigit()), key=_number)
        self.artifact: Artifact = load_artifact(newest)
        self.session = open_graph(self.artifact.model_path)
        self.manifest = self.artifact.manifest
        self._tolerance = self.manifest.probe.tolerance

    def check(self, part: Part, answers: tuple[Answer, ...]) -> int:
        """How many answers of one lane were compared. Raises WrongAnswer."""
        match part:
            case "predict":
                for answer in answers:
                    prediction = json.loads(answer.body)["predictions"][0]
                    self._compare(self._expected([answer.request.inputs])[0], prediction)
            case "steps":
                answers = answers[:_MAX_STEPS]
                expected = self._expected([answer.request.inputs for answer in answers])
                for answer, figures in zip(answers, expected, strict=True):
                    self._compare(figures, json.loads(answer.body)["prediction"])
            case "generate":
                for answer in answers:
                    self._check_generated(answer)
        return len(answers)

    def run(self, inputs: NDArray[Any]) -> NDArray[np.float32]:
        """The answer's tensor for one row from the zero state, `[time, ...]` or `[...]`."""
        graph = self.manifest.graph
        output = self.manifest.output
        name = output.forecast if isinstance(output, ForecastingOutput) else output.logits
        feeds: dict[str, NDArray[Any]] = {
            graph.input.name: inputs[None].astype(graph.input.dtype),
            graph.lengths: np.array([len(inputs)], np.int32),
        }
        return run_graph(self.session, [name], feeds | zero_state(self.manifest, 1))[0][0]

    def _expected(self, chunks: list[NDArray[Any]]) -> list[NDArray[np.float64]]:
        """For chunks that follow each other, the figures of each one's prediction."""
        inputs = np.concatenate(chunks)
        ends = np.cumsum([len(chunk) for chunk in chunks])
        match self.manifest.output:
            case LanguageModelingOutput():
                shifted = np.concatenate([self._start(), inputs[:-1]])
                scores = log_softmax(self.run(shifted))[np.arange(len(inputs)), inputs]
                return np.split(scores, ends[:-1])
            case ClassificationOutput():
                logits = self.run(inputs)
                each = logits[ends - 1] if self.manifest.causal else logits[None]
                return list(softmax(each))
            case ForecastingOutput():
                return list(self.run(inputs)[ends - 1].astype(np.float64))

    def _start(self) -> NDArray[np.int64]:
        """What a language model reads before everything else."""
        assert isinstance(self.manifest.output, LanguageModelingOutput)
        return np.array([self.manifest.output.start_token])

    def _compare(self, expected: NDArray[np.float64], prediction: dict[str, Any]) -> None:
        match self.manifest.output:
            case LanguageModelingOutput():
                seen = prediction["token_log_likelihoods"]
            case ClassificationOutput(labels=labels):
                seen = [prediction["probabilities"][label] for label in labels]
            case ForecastingOutput():
                seen = prediction["forecast"]
        difference = np.abs(np.array(seen) - expected) / np.maximum(1.0, np.abs(expected))
        if not difference.max() <= self._tolerance:
            raise WrongAnswer(f"{self.manifest.name}: {difference.max():.3g} off, {prediction}")

    def _check_generated(self, answer: Answer) -> None:
        """Each token against the graph's scores after the tokens before it, as they were sent."""
        request, generated = answer.request, read_generated(answer.body)
        assert self.artifact.text is not None, "a language model has a tokenizer"
        tokens = self.artifact.text.encode(generated.text)
        if not len(tokens) == generated.num_tokens == request.num_tokens:
            raise WrongAnswer(
                f"{self.manifest.name}: {len(tokens)} tokens in the text, {generated.num_tokens} "
                f"counted, {request.num_tokens} asked for"
            )
        context = np.concatenate([self._start(), request.inputs, tokens])
        scores = self.run(context[:-1])[len(request.inputs) :]
        for place, (row, token) in enumerate(zip(scores, tokens, strict=True)):
            if not _may_follow(row, int(token), place, seed=request.seed, near=self._tolerance):
                raise WrongAnswer(f"{self.manifest.name}: token {place} of {generated.text!r}")


def open_graph(path: Path) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def run_graph(
    session: ort.InferenceSession, names: Sequence[str], feeds: Mapping[str, NDArray[Any]]
) -> list[NDArray[Any]]:
    return cast("list[NDArray[Any]]", session.run(names, feeds))


def zero_state(manifest: Manifest, rows: int) -> dict[str, NDArray[np.float32]]:
    """By the name of the graph's input."""
    return {
        spec.input: np.zeros([d if isinstance(d, int) else rows for d in spec.shape], np.float32)
        for spec in manifest.graph.state
    }


def _may_follow(
    logits: NDArray[np.float32], token: int, place: int, *, seed: int | None, near: float
) -> bool:
    """Whether rounding apart, `token` is the likeliest, or the one that the seed's draw meets."""
    if seed is None:
        return bool(logits[token] >= logits.max() - near * max(1.0, abs(float(logits.max()))))
    order = np.argsort(-logits, kind="stable")
    ends = np.cumsum(softmax(logits)[order])
    rank = int(np.flatnonzero(order == token)[0])
    begins = ends[rank - 1] if rank else 0.0
    return bool(begins - near <= uniform(seed, place) <= ends[rank] + near)


def _number(folder: Path) -> int:
    return int(folder.name)

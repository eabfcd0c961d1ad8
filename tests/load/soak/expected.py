"""What each model must answer: its graph in this process, one row at a time, and its own draws."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.artifact.ctc import collapse
from service.artifact.scores import log_softmax, softmax
from service.artifact.tasks import (
    AnomalyOutput,
    AudioInput,
    ClassificationOutput,
    CtcOutput,
    ForecastingOutput,
    LanguageModelingOutput,
    NumericInput,
    RegressionOutput,
    TaggingOutput,
    TextInput,
)
from service.engine.generation import choice_seed
from service.engine.sampling import uniform
from tests.load.reference import NEAR, Precision, Reference, WrongAnswer

_LOUDNESS = 0.1
"""Of made-up sound, where a full wave has 1."""

Chunk = NDArray[Any]
"""Token ids `[time]`, numbers `[time, features]`, or samples in hops `[time, hop]`."""


@dataclass(frozen=True, slots=True)
class Sampling:
    """As it stands in a request."""

    temperature: float
    top_k: int
    top_p: float
    repetition_penalty: float
    seed: int


class Model:
    """One model of the folder; its figures may be off by NEAR, relative above one."""

    def __init__(self, models: Path, name: str, precision: Precision = "float32") -> None:
        self.name = name
        self._reference = Reference(models, name, precision)
        self.manifest = self._reference.manifest

    @property
    def generates(self) -> bool:
        return isinstance(self.manifest.output, LanguageModelingOutput)

    def chunk(self, steps: int, rng: np.random.Generator) -> Chunk:
        """Token ids, samples, or numbers about as large as in training."""
        match self.manifest.input:
            case TextInput(num_tokens=num_tokens):
                return rng.integers(0, num_tokens, steps)
            case NumericInput(features=features, scaling=scaling):
                values = rng.standard_normal((steps, len(features)))
                values = scaling.invert(values) if scaling else values
                return values.astype(np.float32).round(3)
            case AudioInput(hop=hop):
                samples = rng.normal(0, _LOUDNESS, (steps, hop)).clip(-1, 1)
                return samples.astype(np.float32).round(3)

    def text(self, tokens: Chunk) -> str:
        assert self._reference.artifact.text is not None, "a language model has a tokenizer"
        return self._reference.artifact.text.decode(tokens.tolist())

    def tokens(self, text: str) -> NDArray[np.int64]:
        assert self._reference.artifact.text is not None, "a language model has a tokenizer"
        return self._reference.artifact.text.encode(text)

    def check(self, chunks: Sequence[Chunk], predictions: Sequence[Any]) -> None:
        """Of chunks that follow each other, each one's prediction; None was not asked for.

        Raises WrongAnswer.
        """
        for expected, prediction in zip(self.figures(chunks), predictions, strict=True):
            if prediction is not None:
                self._compare(self._seen(prediction), expected)

    def check_outputs(self, chunk: Chunk, outputs: dict[str, Any]) -> None:
        """The raw tensor behind a prediction. Raises WrongAnswer."""
        seen = np.array(outputs[self._reference.answer_name])
        if self.generates:
            chunk = np.concatenate([self._start(), chunk[:-1]])
        self._compare(seen, self._reference.run(chunk).astype(np.float64))

    def check_generated(
        self, context: Chunk, generated: Chunk, *, prompt: Chunk, sampling: Sampling, choice: int
    ) -> None:
        """Each token after those before it; `prompt` is what repetition counts as seen."""
        everything = np.concatenate([self._start(), context, generated])
        logits = self._reference.run(everything[:-1])[len(context) :].astype(np.float64)
        seen = np.zeros(logits.shape[1], np.bool_)
        seen[prompt] = True
        seed = choice_seed(sampling.seed, choice)
        for place, (row, token) in enumerate(zip(logits, generated, strict=True)):
            u = uniform(seed, place)
            if not may_follow(row, int(token), sampling, seen=seen, u=u, near=NEAR):
                raise WrongAnswer(f"{self.name}: token {place} of {generated.tolist()}")
            seen[token] = True

    def figures(self, chunks: Sequence[Chunk]) -> list[NDArray[np.float64]]:
        """For chunks that follow each other, the numbers of each one's prediction."""
        inputs = np.concatenate(chunks)
        ends = np.cumsum([len(chunk) for chunk in chunks])
        match self.manifest.output:
            case LanguageModelingOutput():
                shifted = np.concatenate([self._start(), inputs[:-1]])
                scores = log_softmax(self._reference.run(shifted))
                return np.split(scores[np.arange(len(inputs)), inputs], ends[:-1])
            case ClassificationOutput():
                logits = self._reference.run(inputs)
                return list(softmax(logits[ends - 1] if self.manifest.causal else logits[None]))
            case CtcOutput():
                # A tie may be written either way; the score is the same but for rounding.
                logits = np.split(self._reference.run(inputs), ends[:-1])
                return [np.array([collapse(part).score]) for part in logits]
            case ForecastingOutput(quantiles=quantiles) as output:
                forecasts = self._reference.run(inputs)[ends - 1].astype(np.float64)
                return list(forecasts[:, output.median] if quantiles else forecasts)
            case RegressionOutput():
                return list(self._reference.run(inputs)[ends - 1].astype(np.float64))
            case AnomalyOutput():
                return np.split(self._reference.run(inputs)[:, 0].astype(np.float64), ends[:-1])
            case TaggingOutput(tags=tags):
                chances = softmax(self._reference.run(inputs)[:, : len(tags)])
                return np.split(chances.max(axis=1), ends[:-1])

    def _seen(self, prediction: Any) -> NDArray[np.float64]:
        match self.manifest.output:
            case LanguageModelingOutput():
                return np.array(prediction["token_log_likelihoods"])
            case ClassificationOutput(labels=labels):
                return np.array([prediction["probabilities"][label] for label in labels])
            case CtcOutput():
                return np.array([prediction["score"]])
            case ForecastingOutput():
                return np.array(prediction["forecast"])
            case RegressionOutput():
                return np.array([prediction["value"]])
            case AnomalyOutput():
                return np.array(prediction["scores"])
            case TaggingOutput():
                return np.array(prediction["tag_probabilities"])

    def _compare(self, seen: NDArray[np.float64], expected: NDArray[np.float64]) -> None:
        if seen.shape != expected.shape:
            raise WrongAnswer(f"{self.name}: {seen.shape} instead of {expected.shape}")
        off = (np.abs(seen - expected) / np.maximum(1.0, np.abs(expected))).max()
        if not off <= NEAR:
            raise WrongAnswer(f"{self.name}: {off:.3g} off")

    def _start(self) -> NDArray[np.int64]:
        """What a language model reads before everything else."""
        assert isinstance(self.manifest.output, LanguageModelingOutput)
        return np.array([self.manifest.output.start_token])


def may_follow(
    logits: NDArray[np.float64],
    token: int,
    sampling: Sampling,
    *,
    seen: NDArray[np.bool_],
    u: float,
    near: float,
) -> bool:
    """Whether the draw at `u` gives `token`, or rounding of the logits could make it so."""
    penalty = sampling.repetition_penalty
    scores = np.where(seen, np.where(logits > 0, logits / penalty, logits * penalty), logits)
    slack = near * max(1.0, float(np.abs(scores).max()))
    if sampling.temperature == 0:
        return bool(scores[token] >= scores.max() - slack)
    shares = (sampling.top_p - near, sampling.top_p, sampling.top_p + near)
    return any(
        _drawn_near(scores, token, sampling, share=share, u=u, slack=slack) for share in shares
    )


def _drawn_near(
    scores: NDArray[np.float64],
    token: int,
    sampling: Sampling,
    *,
    share: float,
    u: float,
    slack: float,
) -> bool:
    order = np.argsort(-scores, kind="stable")[: sampling.top_k or None]
    weights = softmax(scores[order] / sampling.temperature)
    before = np.cumsum(weights) - weights
    kept = (before < share) | (np.arange(len(order)) == 0)
    order, weights = order[kept], weights[kept] / weights[kept].sum()
    ends = np.cumsum(weights)
    reached = order[(ends - weights - slack <= u) & (u <= ends + slack)]
    # Those with equal scores, but for rounding, may have changed places.
    return bool((np.abs(scores[reached] - scores[token]) <= slack).any())

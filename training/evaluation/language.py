"""How surprised the model is by text that it never saw: nats per character, or perplexity."""

import numpy as np
from numpy.typing import NDArray

from service.artifact.manifest import Metric
from service.artifact.scores import log_softmax, softmax
from training.data.language import LanguageData
from training.data.tokens import start_token
from training.evaluation.evaluation import Evaluation, Picture
from training.evaluation.plots import surprise_picture
from training.runner import Runner

_CHUNK_STEPS = 1024
_PASSAGE_TOKENS = 64
_SAMPLE_TOKENS = 400
_WHERE_SURPRISED = {
    "character": ": the model is surprised where a word begins, hardly where one goes on.",
    "word": ".",
}
_SAMPLE_TEMPERATURE = 0.8


def evaluate_language(data: LanguageData, runner: Runner, *, reference: str) -> Evaluation:
    """The whole test piece as one sequence from the zero state, after the start token."""
    tested = data.tested.numpy()
    nats = surprise(tested, runner, start=start_token(data.tokenizer))
    metric = _metric(data, nats, reference=reference)
    middle = len(tested) // 2
    passage = slice(middle, middle + _PASSAGE_TOKENS)
    tokens = [data.tokenizer.id_to_token(int(token)) or "" for token in tested[passage]]
    picture = Picture(
        "surprise.png",
        f"Nats at every {data.unit} of a passage from the middle of the test text"
        + _WHERE_SURPRISED[data.unit],
        surprise_picture(tokens, nats[passage]),
    )
    return Evaluation((metric,), picture, sample=_sample(data, runner))


def _metric(data: LanguageData, nats: NDArray[np.float64], *, reference: str) -> Metric:
    """As each field has it: nats of characters, perplexity of words."""
    before, tested = data.learned.numpy(), data.tested.numpy()
    split = f"test, {len(tested):,} {data.unit}s"
    if data.unit == "character":
        return Metric(
            name="nats per character",
            value=float(nats.mean()),
            split=split,
            baseline=bigram_nats(before, tested, num_tokens=data.num_tokens),
            baseline_name="bigram counts, one added",
            reference=reference,
            lower_is_better=True,
        )
    return Metric(
        name="perplexity",
        value=float(np.exp(nats.mean())),
        split=split,
        baseline=float(np.exp(unigram_nats(before, tested, num_tokens=data.num_tokens))),
        baseline_name="counts of words, one added",
        reference=reference,
        lower_is_better=True,
    )


def surprise(ids: NDArray[np.int64], runner: Runner, *, start: int) -> NDArray[np.float64]:
    """Nats of every token `[time]`, each given all before it; the state is carried throughout."""
    inputs = np.concatenate([[start], ids[:-1]])
    state = runner.initial_state(1)
    nats = list[NDArray[np.float64]]()
    for begin in range(0, len(ids), _CHUNK_STEPS):
        piece = slice(begin, begin + _CHUNK_STEPS)
        ran = runner.run(inputs[None, piece], state=state)
        state = ran.state
        scores = log_softmax(ran.outputs[0])  # [time, tokens]
        nats.append(-np.take_along_axis(scores, ids[piece, None], axis=1)[:, 0])
    return np.concatenate(nats)


def bigram_nats(before: NDArray[np.int64], tested: NDArray[np.int64], *, num_tokens: int) -> float:
    """Mean nats of `tested` by the pairs counted in `before`, one added to every count."""
    counts = np.ones((num_tokens, num_tokens))
    np.add.at(counts, (before[:-1], before[1:]), 1)
    scores = np.log(counts / counts.sum(axis=1, keepdims=True))
    return float(-scores[tested[:-1], tested[1:]].mean())


def unigram_nats(before: NDArray[np.int64], tested: NDArray[np.int64], *, num_tokens: int) -> float:
    """Mean nats of `tested` by the tokens counted in `before`, one added to every count."""
    counts = np.bincount(before, minlength=num_tokens) + 1
    return float(-np.log(counts / counts.sum())[tested].mean())


def _sample(data: LanguageData, runner: Runner) -> str:
    """Text drawn token by token, the same at every evaluation."""
    draw = np.random.default_rng(0)
    state, token = runner.initial_state(1), start_token(data.tokenizer)
    drawn: list[int] = []
    for _ in range(_SAMPLE_TOKENS):
        ran = runner.run(np.array([[token]]), state=state)
        state = ran.state
        chances = softmax(ran.outputs[0, -1] / _SAMPLE_TEMPERATURE)
        token = int(draw.choice(len(chances), p=chances))
        drawn.append(token)
    return data.tokenizer.decode(drawn)

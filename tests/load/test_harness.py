"""The harness itself: its answers are right, its figures are there, a wrong answer is noticed."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.load import wire
from tests.load.drive import Answer
from tests.load.models import write_models
from tests.load.reference import Reference, WrongAnswer
from tests.load.report import table
from tests.load.server import Server
from tests.load.suite import Options, run_suite
from tests.load.workload import MAX_STEPS, MEDIAN_STEPS, MIN_STEPS, sequence_lengths

SHORT = Options(
    seconds=0.25,
    warm_seconds=0.05,
    rounds=1,
    clients=(3,),
    shares=(0.5,),
    sessions=3,
    streams=2,
    tokens=6,
)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    write_models(folder)
    return folder


@pytest.mark.slow
def test_every_part_is_measured_on_the_real_service_and_answers_right(models: Path):
    with Server(models) as server:
        greedy = run_suite(server, models, SHORT)
        sampling = replace(SHORT, parts=("generate",), models=("random-lm",), sampled=True)
        results = greedy + run_suite(server, models, sampling)

    parts = {(result.case.model, result.case.part) for result in results}
    assert parts == {
        ("random-lm", "predict"),
        ("random-lm", "steps"),
        ("random-lm", "generate"),
        ("random-classifier", "predict"),
        ("random-classifier", "steps"),
        ("random-whole", "predict"),
    }
    for result in results:
        figures = result.median
        assert figures.checked > 0, result.case
        assert figures.rate > 0, result.case
        assert 0 < figures.p50_ms <= figures.p95_ms <= figures.p99_ms, result.case
        assert figures.limit_rate > 0, result.case
        assert result.case.load in table(results)


def test_a_prediction_that_is_a_little_off_is_noticed(models: Path):
    reference = Reference(models, "random-classifier")
    request = wire.predict("random-classifier", np.arange(5))
    probabilities = dict.fromkeys([f"class-{i}" for i in range(6)], 1 / 6)
    body = json.dumps({"predictions": [{"probabilities": probabilities}]}).encode()
    with pytest.raises(WrongAnswer, match="random-classifier"):
        reference.check("predict", (Answer(request, body),))


def test_a_stream_whose_third_token_is_not_the_likeliest_is_noticed(models: Path):
    reference = Reference(models, "random-lm")
    prompt = np.arange(4)
    tokens: list[int] = []
    for _ in range(4):
        context = np.array([0, *prompt, *tokens])  # 0 is the model's start token
        tokens.append(int(reference.run(context)[-1].argmax()))
    request = wire.generate("random-lm", prompt, num_tokens=4, seed=None)

    assert reference.check("generate", (Answer(request, stream(reference, tokens)),)) == 1
    tokens[2] = (tokens[2] + 1) % 96
    with pytest.raises(WrongAnswer, match="token 2"):
        reference.check("generate", (Answer(request, stream(reference, tokens)),))


def test_a_stream_that_was_cut_off_is_noticed():
    event = b'data: {"index":0,"text":"a"}\n\n'
    with pytest.raises(ValueError, match="the stream ends with"):
        wire.read_generated(chunked(event))


def test_lengths_are_ragged_and_the_same_for_the_same_seed():
    lengths = sequence_lengths(10_000, seed=3)

    assert lengths.min() == MIN_STEPS
    assert lengths.max() == MAX_STEPS
    assert abs(np.median(lengths) - MEDIAN_STEPS) <= 1
    assert (sequence_lengths(10_000, seed=3) == lengths).all()


def stream(reference: Reference, tokens: list[int]) -> bytes:
    assert reference.artifact.text is not None
    text = reference.artifact.text.decode(tokens)
    piece = json.dumps({"index": 0, "text": text})
    done = json.dumps({"usage": {"completion_tokens": len(tokens)}})
    return chunked(f"data: {piece}\n\nevent: done\ndata: {done}\n\n".encode())


def chunked(content: bytes) -> bytes:
    return b"%x\r\n%s\r\n0\r\n\r\n" % (len(content), content)

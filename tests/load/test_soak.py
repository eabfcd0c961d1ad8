"""The soak in short, and that it would notice what it is there to notice."""

from pathlib import Path

import numpy as np
import pytest
from prometheus_client import CollectorRegistry, generate_latest

from service.artifact.beam import BeamParams
from service.engine.sampling import Draw, SamplingParams, sample, uniform
from service.telemetry.tally import TallyHistogram
from tests.load.models import write_models
from tests.load.reference import WrongAnswer
from tests.load.soak.expected import Model, Sampling, may_follow
from tests.load.soak.run import SCENES, SoakOptions, soak
from tests.load.soak.scenes import draw_sampling
from tests.load.soak.translators import Asked, Translator
from tests.load.soak.watch import Lag, Resident, lag_of, memory_of
from tests.service.babel import save_babel
from tests.service.dataplane.translating import END, ids, letters, searched


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    write_models(folder)
    return folder


@pytest.mark.slow
def test_under_mixed_load_no_row_is_lost_and_every_answer_is_right():
    done = soak(SoakOptions(seconds=20))

    assert done.failures == []
    assert done.answered == done.asked
    assert done.left > 0
    assert done.checked > 1000
    assert set(done.scenes) == {scene.__name__ for _, scene in SCENES} | {"visit", "settle"}
    assert done.lag.looks > 100


def test_a_token_is_right_exactly_if_the_service_would_draw_it():
    rng = np.random.default_rng(0)
    for _ in range(200):
        logits = rng.normal(0, 3, 50)
        seen = rng.random(50) < 0.2
        sampling = draw_sampling(rng)
        params = SamplingParams(
            sampling.temperature,
            sampling.top_k,
            sampling.top_p,
            sampling.repetition_penalty,
            sampling.seed,
        )
        (drawn,) = sample(logits[None], [Draw(params, 5, seen)])
        u = uniform(sampling.seed, 5)
        right = [
            token
            for token in range(50)
            if may_follow(logits, token, sampling, seen=seen, u=u, near=1e-9)
        ]
        assert right == [drawn], sampling


def test_a_token_that_rounding_may_have_swapped_with_the_likeliest_is_let_through():
    logits = np.array([1.0, 5.0, 5.0 + 1e-6])
    greedy = Sampling(0.0, 0, 1.0, 1.0, 0)
    seen = np.zeros(3, np.bool_)

    assert may_follow(logits, 1, greedy, seen=seen, u=0.0, near=1e-4)
    assert not may_follow(logits, 0, greedy, seen=seen, u=0.0, near=1e-4)


@pytest.mark.parametrize("name", ["random-lm", "random-steps"])
def test_a_session_that_forgot_one_chunk_is_noticed(models: Path, name: str):
    model = Model(models, name)
    rng = np.random.default_rng(1)
    chunks = [model.chunk(steps, rng) for steps in (3, 1, 4)]
    right = [prediction(model, chunks, place) for place in range(3)]
    forgetful = [*right[:2], prediction(model, chunks[1:], 1)]

    model.check(chunks, right)
    with pytest.raises(WrongAnswer, match=name):
        model.check(chunks, forgetful)


def test_a_text_that_another_source_becomes_is_noticed(tmp_path: Path):
    save_babel(tmp_path)
    translator, asked = Translator(tmp_path, "babel"), Asked(2, 0.6, 9)
    cafe, bad = ids("cafe"), ids("bad")
    params = BeamParams(END, width=2, length_penalty=0.6, max_tokens=9)
    best = searched(cafe, params)[0]
    text = letters(best.hypothesis.tokens)
    right = {"text": text, "score": best.score}

    translator.check(cafe, asked, right)
    translator.check_choices(cafe, asked, [text])
    for wrong in (right | {"score": best.score + 0.01}, right | {"text": text + "a"}):
        with pytest.raises(WrongAnswer, match="babel"):
            translator.check(cafe, asked, wrong)
    with pytest.raises(WrongAnswer, match="babel"):
        translator.check(bad, asked, right)
    with pytest.raises(WrongAnswer, match="babel"):
        translator.check_choices(cafe, asked, [text, text])


def test_memory_is_told_by_the_minute_and_judged_by_its_second_half():
    flat = memory_of(by_the_second([*range(100, 160), *[200.0] * 60, *[300.0, 302.0] * 60]))
    assert flat.minutes == (129.5, 200.0, 301.0, 301.0)
    assert flat.slope == pytest.approx(0.0, abs=1e-6)
    assert not flat.grows

    ramp = memory_of(by_the_second([*[500.0] * 1800, *np.linspace(300, 310, 1800)]))
    assert ramp.slope == pytest.approx(20, rel=0.01)  # 10 MB in half an hour
    assert ramp.grows


def by_the_second(megabytes: list[float]) -> list[Resident]:
    return [Resident(second, value) for second, value in enumerate(megabytes)]


def test_a_lag_is_told_by_what_came_between_two_readings():
    tally = TallyHistogram(
        "recur_event_loop_lag_seconds",
        "Lag.",
        [],
        buckets=(0.005, 0.02, 0.05),
        registry=(registry := CollectorRegistry()),
    )

    def read(*lags: float) -> Lag:
        for lag in lags:
            tally.labels().observe(lag)
        return lag_of(generate_latest(registry).decode())

    before = read(0.001, 0.3)
    lag = read(0.001, 0.01, 0.03).since(before)
    assert (lag.looks, lag.above(0.005), lag.above(0.02), lag.most) == (3, 2, 1, 0.05)


def prediction(model: Model, chunks: list[np.ndarray], place: int) -> dict:
    """As the service would render it."""
    figures = model.figures(chunks)[place].tolist()
    if model.generates:
        return {"token_log_likelihoods": figures}
    labels = model.manifest.output.labels
    return {"probabilities": dict(zip(labels, figures, strict=True))}

"""Texts that become others: what is served is what a pure beam over the graphs finds, alone."""

import asyncio
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from service.artifact.artifact import load_artifact
from service.artifact.beam import BeamParams
from service.dataplane.types import (
    DataPlaneLimits,
    OpenRequest,
    Prediction,
    SearchRequest,
)
from service.engine.scheduler import SchedulerConfig
from service.errors import (
    DeadlineExceeded,
    InvalidInput,
    ModelFailed,
    ModelHasNoState,
    QueueFull,
    TooLarge,
)
from service.runtime.base import StepInput
from tests.service.babel import save_blind
from tests.service.dataplane.serving import call, serving
from tests.service.dataplane.translating import (
    END,
    START,
    WORDS,
    ids,
    letters,
    searched,
    sources,
    translate,
    write,
    written,
)
from tests.service.fakes import Gate
from training.evaluation.search import search
from training.runner import PairRunner, open_runner

WIDE = SchedulerConfig()


searches = st.builds(
    BeamParams,
    st.just(END),
    width=st.integers(1, 6),
    length_penalty=st.sampled_from([0.0, 0.6, 1.0, 2.0]),
    max_tokens=st.integers(1, 20),
)


@settings(deadline=None, max_examples=40)
@given(st.lists(sources, min_size=1, max_size=9), searches, st.integers(1, 2))
async def test_what_is_written_is_what_a_beam_over_the_graphs_finds_bit_for_bit(
    texts: list[list[int]], params: BeamParams, num_workers: int
) -> None:
    search = {
        "beam_width": params.width,
        "length_penalty": params.length_penalty,
        "max_tokens": params.max_tokens,
    }
    async with serving(num_workers=num_workers) as it:
        results = await translate(it, *map(np.array, texts), **search)
    for text, result in zip(texts, results, strict=True):
        best = searched(text, params)[0]
        assert written(result).text == letters(best.hypothesis.tokens)
        assert written(result).score == best.score


@settings(deadline=None, max_examples=15)
@given(
    st.lists(st.tuples(sources, searches), min_size=2, max_size=6), st.lists(sources, max_size=3)
)
async def test_no_text_is_touched_by_the_beams_and_streams_beside_it(
    asked: list[tuple[list[int], BeamParams]], streams: list[list[int]]
) -> None:
    async with serving(num_workers=2) as it:
        translations = [
            translate(it, np.array(text), beam_width=params.width, max_tokens=params.max_tokens)
            for text, params in asked
        ]
        noise = [write(it, np.array(text), stream=True, temperature=1.0) for text in streams]
        results, _ = await asyncio.gather(asyncio.gather(*translations), asyncio.gather(*noise))
    for (text, params), (result,) in zip(asked, results, strict=True):
        as_asked = BeamParams(
            END, width=params.width, length_penalty=0.6, max_tokens=params.max_tokens
        )
        best = searched(text, as_asked)[0]
        assert (written(result).text, written(result).score) == (
            letters(best.hypothesis.tokens),
            best.score,
        )


async def test_the_models_own_search_is_used_where_a_request_is_silent() -> None:
    async with serving() as it:
        results = await translate(it, *WORDS)
    expected = [letters(searched(ids(word))[0].hypothesis.tokens) for word in WORDS]
    assert [written(result).text for result in results] == expected


async def test_a_source_that_is_wrong_fails_alone() -> None:
    async with serving() as it:
        results = await translate(it, "bad", "no letter", np.array([99]), "cafe")
    assert [written(results[at]).text for at in (0, 3)] == [
        letters(searched(ids(word))[0].hypothesis.tokens) for word in ("bad", "cafe")
    ]
    assert all(isinstance(results[at], InvalidInput) for at in (1, 2))
    assert results[1].param == "inputs[1]"  # type: ignore[union-attr]


async def test_raw_outputs_are_those_at_each_token_of_the_text() -> None:
    async with serving() as it:
        predictions = await it.plane.predict("babel", ["bad", "decade"], call=call(), raw=True)
    for word, result in zip(["bad", "decade"], predictions.results, strict=True):
        assert isinstance(result, Prediction)
        assert result.outputs is not None
        best = searched(ids(word))[0]
        num_tokens = len(best.hypothesis.tokens) + (best.reason == "stop")
        assert result.outputs["logits"].argmax(axis=1).shape == (num_tokens,)
        attention = result.outputs["attention"]
        assert attention.shape == (num_tokens, len(word) + 1)
        np.testing.assert_allclose(attention.sum(axis=1), 1, atol=1e-6)


@pytest.mark.parametrize(
    ("asked", "numbers"), [({"raw": True}, 12 * (12 + 4)), ({"explain": True}, 12 * 4)]
)
async def test_what_is_told_of_each_token_has_as_much_room_as_a_setting_gives(
    asked: dict[str, bool], numbers: int
) -> None:
    """Logits of 12 tokens and weights of 4 source steps, at each of 12 tokens at most."""
    async with serving(limits=DataPlaneLimits(max_raw_bytes=2 * 4 * numbers)) as it:
        ask: Any = asked
        fits = await it.plane.predict("babel", ["bad", "hij"], call=call(), **ask)
        with pytest.raises(TooLarge, match="RECUR_MAX_RAW_BYTES") as caught:
            await it.plane.predict("babel", ["bad", "hij", "a"], call=call(), **ask)
    assert [written(result).text for result in fits.results]
    assert caught.value.param == next(iter(asked))


async def test_a_decoder_that_does_not_look_back_writes_and_explains_nothing(
    tmp_path: Path,
) -> None:
    artifact = load_artifact(save_blind(tmp_path))
    runner, params = open_runner(artifact), BeamParams(END, width=2, max_tokens=9)
    assert isinstance(runner, PairRunner)
    words = [torch.tensor([*ids(word), END]) for word in WORDS]
    expected = search(words, runner, params, start=START)
    asked = SearchRequest(beam_width=2, length_penalty=0.0, max_tokens=9)
    async with serving([artifact]) as it:
        found = await it.plane.predict("blind", WORDS, call=call(), search=asked)
        with pytest.raises(InvalidInput) as caught:
            await it.plane.predict("blind", WORDS, call=call(), explain=True)
    assert [written(result).text for result in found.results] == [
        letters(one.hypothesis.tokens) for one in expected
    ]
    assert caught.value.param == "explain"


@pytest.mark.parametrize(
    ("asked", "param"),
    [
        ({"beam_width": 0}, "beam_width"),
        ({"beam_width": 17}, "beam_width"),
        ({"length_penalty": -0.1}, "length_penalty"),
        ({"length_penalty": 1e300}, "length_penalty"),
        ({"max_tokens": 5000}, "max_tokens"),
    ],
)
async def test_a_search_beyond_a_limit_is_refused_by_its_name(
    asked: dict[str, Any], param: str
) -> None:
    async with serving() as it:
        with pytest.raises(InvalidInput) as caught:
            await translate(it, "bad", **asked)
        assert caught.value.param == param
        with pytest.raises(InvalidInput) as caught:
            await write(it, "bad", **asked)
        assert caught.value.param == param


@pytest.mark.parametrize("model", ["babble", "running-total"])
@pytest.mark.parametrize("field", ["beam_width", "length_penalty", "max_tokens"])
async def test_a_model_that_writes_no_text_for_another_searches_for_none(
    model: str, field: str
) -> None:
    inputs = {"babble": "a", "running-total": np.ones((2, 1))}[model]
    async with serving() as it:
        search: Any = {"search": SearchRequest(**{field: 1})}
        with pytest.raises(InvalidInput) as caught:
            await it.plane.predict(model, [inputs], call=call(), **search)
        assert caught.value.param == field


async def test_the_models_own_width_is_cut_to_the_limit() -> None:
    async with serving(limits=DataPlaneLimits(max_beam_width=2)) as it:
        (result,) = await translate(it, "decade")
    params = BeamParams(END, width=2, length_penalty=0.6, max_tokens=12)
    assert written(result).score == searched(ids("decade"), params)[0].score


async def test_a_source_beyond_the_limit_is_refused() -> None:
    async with serving(limits=DataPlaneLimits(max_steps=5)) as it:
        good, bad = await translate(it, "abcde", "abcdef")
    assert written(good)
    assert isinstance(bad, TooLarge)


async def test_it_has_no_sessions() -> None:
    async with serving() as it:
        with pytest.raises(ModelHasNoState):
            it.plane.open_session("babel", OpenRequest(), call=call())


async def test_a_deadline_holds_between_the_steps_of_a_search() -> None:
    deadline = time.monotonic() + 0.3
    seen = 0

    def outlast_the_deadline(step: StepInput) -> None:
        nonlocal seen
        seen += 1
        if seen == 4:
            time.sleep(max(0.0, deadline - time.monotonic()) + 0.01)

    async with serving(on_step=outlast_the_deadline) as it:
        predictions = await it.plane.predict("babel", ["decade"], call=call(deadline=deadline))
    (result,) = predictions.results
    assert isinstance(result, DeadlineExceeded)
    assert seen == 4


async def test_what_was_translated_before_the_deadline_is_answered() -> None:
    deadline = time.monotonic() + 0.5

    def outlast_the_deadline(step: StepInput) -> None:
        if step.memory is None and step.lengths.max() > 30:
            time.sleep(max(0.0, deadline - time.monotonic()) + 0.01)

    texts = [*["bad"] * 8, *["a" * 30] * 20]
    search = SearchRequest(beam_width=16, max_tokens=2)
    async with serving(on_step=outlast_the_deadline) as it:
        predictions = await it.plane.predict(
            "babel", texts, call=call(deadline=deadline), search=search
        )
    early, late = predictions.results[:8], predictions.results[8:]
    assert all(written(result).text == written(early[0]).text for result in early)
    assert all(isinstance(result, DeadlineExceeded) for result in late)


async def test_a_caller_who_leaves_amid_a_search_frees_its_place() -> None:
    gate, steps = Gate(), list[StepInput]()

    def watch(step: StepInput) -> None:
        steps.append(step)
        if len(steps) == 3:
            gate(step)

    async with serving(on_step=watch, max_queue=3) as it:
        leaver = asyncio.create_task(translate(it, "bad", "cafe", "feed"))
        await asyncio.to_thread(gate.entered.wait)
        with pytest.raises(QueueFull):
            await translate(it, "bad")
        leaver.cancel()
        with pytest.raises(asyncio.CancelledError):
            await leaver
        assert all(engine.in_flight == 0 for engine in it.engines)
        gate.open()
        (result,) = await translate(it, "a", beam_width=1, max_tokens=1)
        assert written(result)
        # One that was under way, the source's and its one token's.
        assert len(steps) <= 5


async def test_a_call_that_breaks_fails_its_sources_and_none_after_it() -> None:
    def break_that_one(step: StepInput) -> None:
        if step.memory is not None and (step.memory.lengths == len("hij") + 1).any():
            raise ModelFailed("broken")

    async with serving(on_step=break_that_one, max_queue=1) as it:
        (bad,) = await translate(it, "hij")
        (good,) = await translate(it, "decade")
        with pytest.raises(ModelFailed):
            await write(it, "hij", stream=True)
    assert written(good).score == searched(ids("decade"))[0].score
    assert isinstance(bad, ModelFailed)


async def test_more_sources_than_are_stepped_at_once_are_all_translated() -> None:
    rng = np.random.default_rng(1)
    texts = [rng.integers(2, 12, rng.integers(1, 9)) for _ in range(150)]
    async with serving() as it:
        results = await translate(it, *texts, beam_width=2, max_tokens=5)
    params = BeamParams(END, width=2, length_penalty=0.6, max_tokens=5)
    for text, result in zip(texts, results, strict=True):
        assert written(result).score == searched(text.tolist(), params)[0].score


async def test_beams_of_several_requests_share_calls() -> None:
    rows: list[int] = []

    def count(step: StepInput) -> None:
        if step.memory is not None:
            rows.append(len(step.lengths))

    gate = Gate()

    def watch(step: StepInput) -> None:
        gate(step)
        count(step)

    async with serving(on_step=watch, scheduler=WIDE) as it:
        tasks = [asyncio.create_task(translate(it, word, beam_width=2)) for word in WORDS]
        await asyncio.to_thread(gate.entered.wait)
        gate.open()
        await asyncio.gather(*tasks)
    # All that came while the first one's source was being read.
    assert max(rows) >= 2 * (len(WORDS) - 1)

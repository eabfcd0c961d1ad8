"""Predicting: the task's own terms, from numbers that nothing but the sequence decides."""

import asyncio
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.artifact.artifact import load_artifact
from service.artifact.scores import log_softmax
from service.artifact.text import Text
from service.dataplane.types import (
    Chunk,
    Classification,
    DataPlaneLimits,
    Forecast,
    OpenRequest,
    Prediction,
)
from service.engine.scheduler import SchedulerConfig
from service.errors import (
    DeadlineExceeded,
    InvalidInput,
    MalformedRequest,
    ModelFailed,
    ModelNotFound,
    QueueFull,
    RecurError,
    StateNotFinite,
    TooLarge,
)
from service.runtime.base import StepInput
from tests.service.artifacts import save_babble
from tests.service.dataplane.serving import (
    call,
    column,
    direct,
    predict_one,
    scores_of,
    serving,
    total_of,
)
from tests.service.fakes import Gate

VOCAB = 256


def scored_directly(tokens: list[int]) -> np.ndarray:
    """log p of each token, by one whole call: it reads the start token, then all but the last."""
    inputs = np.array([[0, *tokens[:-1]]])
    runtime = direct("babble")
    state = tuple(array[:, None] for array in runtime.initial_state())
    result = runtime.step(StepInput(inputs, np.array([len(tokens)], np.int32), state))
    return log_softmax(result.outputs["logits"][0])[np.arange(len(tokens)), tokens]


async def test_a_forecast_is_that_of_the_last_step() -> None:
    async with serving() as it:
        prediction = await predict_one(it, "running-total", column([1, 2, 3.5]))
    assert total_of(prediction) == 6.5
    assert prediction.steps == 3
    assert prediction.outputs is None


async def test_a_forecast_with_quantiles_is_their_median() -> None:
    async with serving() as it:
        prediction = await predict_one(it, "banded-total", column([1, 2, 3.5]))
    answer = prediction.answer
    assert isinstance(answer, Forecast)
    assert answer.forecast.tolist() == [[6.5]]
    assert answer.quantiles is not None
    named = {share: values.tolist() for share, values in answer.quantiles.named.items()}
    assert named == {"0.1": [[5.5]], "0.5": [[6.5]], "0.9": [[7.5]]}


async def test_a_class_comes_with_every_labels_probability() -> None:
    async with serving() as it:
        prediction = await predict_one(it, "parity", np.array([1, 2, 4]))
    assert isinstance(prediction.answer, Classification)
    assert prediction.answer.label == "odd"
    # Scores -1 and 1: the sigmoid of 2, in double precision.
    assert prediction.answer.named == pytest.approx({"odd": 0.880797, "even": 0.119203})


async def test_a_likelihood_is_what_the_runtime_computes_in_one_call() -> None:
    tokens = list(range(60, 90))
    async with serving() as it:
        prediction = await predict_one(it, "babble", np.array(tokens))
    expected = scored_directly(tokens)
    np.testing.assert_array_equal(scores_of(prediction), expected)
    answer: Any = prediction.answer
    assert answer.log_likelihood == expected.sum()
    assert answer.perplexity == np.exp(-expected.mean())
    assert len(answer.tokens) == len(tokens)


async def test_text_is_the_same_as_its_tokens() -> None:
    async with serving() as it:
        (text,) = (await it.plane.predict("babble", ["naïve"], call=call())).results
        answer: Any = text.answer if isinstance(text, Prediction) else None
    # Six bytes: the two of ï are named, for neither is a character.
    assert len(answer.tokens) == 6
    assert "".join(answer.tokens[:2]) == "na"


async def test_raw_outputs_are_those_of_every_step() -> None:
    async with serving() as it:
        predictions = await it.plane.predict(
            "running-total", [column(range(10))], call=call(), raw=True
        )
    (result,) = predictions.results
    assert isinstance(result, Prediction)
    assert result.outputs is not None
    assert result.outputs["forecast"][:, 0, 0].tolist() == np.cumsum(range(10)).tolist()


async def test_raw_outputs_of_a_whole_sequence_model_are_its_scores() -> None:
    async with serving() as it:
        predictions = await it.plane.predict("parity", [np.array([1])], call=call(), raw=True)
    (result,) = predictions.results
    assert isinstance(result, Prediction)
    assert result.outputs is not None
    assert result.outputs["logits"].tolist() == [-1, 1]


async def test_raw_outputs_beyond_the_limit_are_refused_before_anything_runs() -> None:
    steps: list[StepInput] = []
    limits = DataPlaneLimits(max_raw_bytes=10 * VOCAB * 4)
    async with serving(on_step=steps.append, limits=limits) as it:
        for texts in (["a" * 11], ["a" * 6, "a" * 5]):
            with pytest.raises(TooLarge, match="RECUR_MAX_RAW_BYTES") as caught:
                await it.plane.predict("babble", texts, call=call(), raw=True)
            assert caught.value.param == "raw"
            assert caught.value.details == {"limit": 10 * VOCAB * 4}
        assert steps == []
        await it.plane.predict("babble", ["a" * 11], call=call())
        await it.plane.predict("babble", ["a" * 6, "a" * 4, ""], call=call(), raw=True)
        # A classifier's scores are no more for a long sequence than for a short one.
        await it.plane.predict("parity", [np.ones(900, np.int64)], call=call(), raw=True)


BAD_NUMBERS: list[tuple[Any, type[RecurError], str]] = [
    ("text", InvalidInput, "inputs[1]"),
    (np.array([1.0, 2.0]), InvalidInput, "inputs[1]"),
    (np.zeros((3, 2)), InvalidInput, "inputs[1]"),
    (np.zeros((0, 1)), InvalidInput, "inputs[1]"),
    (np.array([[0.0], [np.nan]]), InvalidInput, "inputs[1][1][0]"),
    (np.array([[np.inf]]), InvalidInput, "inputs[1][0][0]"),
    (np.array([[1e300]]), InvalidInput, "inputs[1][0][0]"),
    (np.full((2, 1), 3e38), StateNotFinite, "inputs"),
    (np.zeros((51, 1)), TooLarge, "inputs[1]"),
    (MalformedRequest("unreadable", param="inputs[1]"), MalformedRequest, "inputs[1]"),
]
BAD_TOKENS: list[tuple[Any, type[RecurError], str]] = [
    ("", InvalidInput, "inputs[1]"),
    ("a\ud800", InvalidInput, "inputs[1]"),
    ("a" * 51, TooLarge, "inputs[1]"),
    ("a" * 1_000_000, TooLarge, "inputs[1]"),
    (np.array([[1, 2]]), InvalidInput, "inputs[1]"),
    (np.array([1.0]), InvalidInput, "inputs[1]"),
    (np.array([True]), InvalidInput, "inputs[1]"),
    (np.array([0, VOCAB]), InvalidInput, "inputs[1][1]"),
    (np.array([-1]), InvalidInput, "inputs[1][0]"),
    (np.array([1, 2**64 - 1], np.uint64), InvalidInput, "inputs[1][1]"),
    (np.zeros(0, np.int64), InvalidInput, "inputs[1]"),
]


@pytest.mark.parametrize(
    ("model", "good", "bad", "error", "param"),
    [("running-total", column([1, 2]), *case) for case in BAD_NUMBERS]
    + [(name, np.array([1, 2]), *case) for case in BAD_TOKENS for name in ("babble", "parity")],
)
async def test_a_bad_sequence_fails_alone_by_the_name_of_its_place(
    model: str, good: np.ndarray, bad: Any, error: type[RecurError], param: str
) -> None:
    async with serving(limits=DataPlaneLimits(max_steps=50)) as it:
        predictions = await it.plane.predict(model, [good, bad, good], call=call())
    first, failed, last = predictions.results
    assert isinstance(failed, error)
    assert failed.param == param
    assert isinstance(first, Prediction)
    assert isinstance(last, Prediction)
    assert repr(first.answer) == repr(last.answer)


async def test_when_all_fail_each_says_why() -> None:
    async with serving() as it:
        predictions = await it.plane.predict("babble", ["", np.array([999])], call=call())
    assert [getattr(result, "param", None) for result in predictions.results] == [
        "inputs[0]",
        "inputs[1][0]",
    ]


async def test_no_sequence_at_all_is_refused() -> None:
    async with serving() as it:
        with pytest.raises(InvalidInput) as caught:
            await it.plane.predict("babble", [], call=call())
    assert caught.value.param == "inputs"


async def test_too_many_sequences_are_refused_by_the_settings_name() -> None:
    async with serving(limits=DataPlaneLimits(max_sequences=2)) as it:
        with pytest.raises(TooLarge, match="RECUR_MAX_SEQUENCES") as caught:
            await it.plane.predict("babble", ["a"] * 3, call=call())
        assert caught.value.details == {"limit": 2}


async def test_the_models_own_limit_holds_beside_the_services() -> None:
    async with serving() as it:
        predictions = await it.plane.predict("parity", [np.ones(1001, np.int64)], call=call())
    (error,) = predictions.results
    assert isinstance(error, TooLarge)
    assert error.details == {"limit": 1000}
    assert "RECUR_MAX_STEPS" in error.message


async def test_an_unknown_model_is_refused() -> None:
    async with serving() as it:
        with pytest.raises(ModelNotFound):
            await it.plane.predict("nobody", ["a"], call=call())


async def test_a_full_queue_is_refused_by_the_settings_name() -> None:
    gate = Gate()
    async with serving(on_step=gate, max_queue=2) as it:
        first = asyncio.create_task(predict_one(it, "running-total", column([1])))
        await asyncio.to_thread(gate.entered.wait)
        with pytest.raises(QueueFull, match="RECUR_MAX_QUEUE"):
            await it.plane.predict("running-total", [column([1])] * 2, call=call())
        gate.open()
        assert total_of(await first) == 1


async def test_a_step_that_breaks_fails_the_sequences_in_it_alone() -> None:
    def break_on_666(step: StepInput) -> None:
        if (step.values == 666).any():
            raise ModelFailed("the runtime refused a step")

    async with serving(on_step=break_on_666) as it:
        # Chunks of very different lengths never share a batch.
        predictions = await it.plane.predict(
            "running-total", [column([666]), column([1, 2, 3, 4])], call=call()
        )
        broken, fine = predictions.results
        assert isinstance(broken, ModelFailed)
        assert total_of(fine) == 10
        assert total_of(await predict_one(it, "running-total", column([5]))) == 5


async def test_what_was_answered_before_the_deadline_stays_answered() -> None:
    deadline = time.monotonic() + 0.2
    seen: list[int] = []

    def outlast_the_deadline(step: StepInput) -> None:
        seen.append(len(step.lengths))
        if len(seen) == 2:
            time.sleep(max(0.0, deadline - time.monotonic()) + 0.01)

    async with serving(on_step=outlast_the_deadline) as it:
        rows = [column([1, 2, 3, 4]), column([1] * 40)]
        predictions = await it.plane.predict("running-total", rows, call=call(deadline=deadline))
    short, long = predictions.results
    assert total_of(short) == 10
    assert isinstance(long, DeadlineExceeded)
    assert seen == [2, 1]


async def test_a_failed_sequence_is_not_answered_again_at_the_deadline() -> None:
    deadline = time.monotonic() + 0.2

    def break_then_outlast_the_deadline(step: StepInput) -> None:
        if (step.values == 666).any():
            raise ModelFailed("broken")
        time.sleep(max(0.0, deadline - time.monotonic()) + 0.01)

    async with serving(on_step=break_then_outlast_the_deadline) as it:
        rows = [column([666]), column([1] * 40)]
        predictions = await it.plane.predict("running-total", rows, call=call(deadline=deadline))
    broken, late = predictions.results
    assert isinstance(broken, ModelFailed)
    assert isinstance(late, DeadlineExceeded)


async def test_a_deadline_in_the_past_runs_nothing() -> None:
    steps: list[StepInput] = []
    async with serving(on_step=steps.append) as it:
        with pytest.raises(DeadlineExceeded):
            await it.plane.predict("babble", ["a"], call=call(deadline=time.monotonic() - 1))
    assert steps == []


async def test_a_caller_who_leaves_frees_the_queue() -> None:
    gate = Gate()
    async with serving(on_step=gate, max_queue=3) as it:
        rows = [column([1] * 1000)] * 3
        leaver = asyncio.create_task(it.plane.predict("running-total", rows, call=call()))
        await asyncio.to_thread(gate.entered.wait)
        leaver.cancel()
        with pytest.raises(asyncio.CancelledError):
            await leaver
        assert all(engine.in_flight == 0 for engine in it.engines)
        gate.open()
        assert total_of(await predict_one(it, "running-total", column([7]))) == 7


@pytest.mark.parametrize(
    ("model", "value"),
    [("babble", "a" * 300_000), ("running-total", np.zeros((4_000_000, 1)))],
    ids=["text", "numbers"],
)
async def test_the_loop_turns_while_a_long_sequence_is_read(model: str, value: Any) -> None:
    async with serving() as it:
        task = asyncio.create_task(it.plane.predict(model, [value], call=call()))
        turns = 0
        while not task.done():
            turns += 1
            await asyncio.sleep(0)
        (error,) = (await task).results
    assert isinstance(error, TooLarge)
    # Read on the loop, it would be the two or three that a task takes.
    assert turns > 50


@pytest.mark.parametrize(("steps", "on_loop"), [(10, True), (6000, False)])
async def test_a_long_text_is_told_off_the_loop(
    tmp_path: Path, steps: int, *, on_loop: bool
) -> None:
    artifact = load_artifact(save_babble(tmp_path))
    text = Overheard(artifact.folder / "tokenizer.json")
    wide = SchedulerConfig(max_padded_steps=4096, lonely_padded_steps=4096)
    async with serving([replace(artifact, text=text)], scheduler=wide) as it:
        prediction = await predict_one(it, "babble", "a" * steps)
        it.plane.open_session("babble", OpenRequest(session_id="mine"), call=call())
        await it.plane.feed("mine", "a" * steps, call=call())
        await it.plane.feed_many([Chunk("mine", "a" * steps)], call=call())
    assert prediction.steps == steps
    assert len(text.threads) == 3 * steps
    assert {thread is threading.current_thread() for thread in text.threads} == {on_loop}


class Overheard(Text):
    """Remembers on which thread it was asked for each token."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.threads: list[threading.Thread] = []

    def token(self, token_id: int) -> str:
        self.threads.append(threading.current_thread())
        return super().token(token_id)


numbers = st.lists(st.integers(-1000, 1000), min_size=1, max_size=30)
texts = st.lists(st.integers(0, VOCAB - 1), min_size=1, max_size=30)


@settings(deadline=None, max_examples=25)
@given(st.lists(numbers, min_size=1, max_size=12), st.lists(texts, max_size=4))
async def test_no_total_is_touched_by_its_company(
    rows: list[list[int]], others: list[list[int]]
) -> None:
    async with serving() as it:
        results, *_ = await asyncio.gather(
            it.plane.predict("running-total", [column(row) for row in rows], call=call()),
            *(predict_one(it, "babble", np.array(other)) for other in others),
            *(predict_one(it, "running-total", column([10_000] * 9)) for _ in others),
        )
    assert [total_of(result) for result in results.results] == [sum(row) for row in rows]


@settings(deadline=None, max_examples=25)
@given(st.lists(texts, min_size=1, max_size=12))
async def test_no_likelihood_is_touched_by_its_company_bit_for_bit(rows: list[list[int]]) -> None:
    async with serving() as it:
        predictions = await it.plane.predict("babble", [np.array(row) for row in rows], call=call())
    for result, row in zip(predictions.results, rows, strict=True):
        np.testing.assert_array_equal(scores_of(result), scored_directly(row))

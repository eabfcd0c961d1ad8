"""The text that another one becomes, token by token or as the best that a search finds."""

import asyncio
from contextlib import aclosing
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.artifact.beam import BeamParams
from service.dataplane.types import (
    GenerateRequest,
    TextPiece,
)
from service.engine.scheduler import SchedulerConfig
from service.errors import (
    InvalidInput,
)
from service.runtime.base import StepInput
from tests.service.dataplane.serving import call, generate, serving
from tests.service.dataplane.translating import (
    END,
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

WIDE = SchedulerConfig()


@settings(deadline=None, max_examples=25)
@given(sources, st.integers(1, 20))
async def test_the_likeliest_token_each_time_is_a_beam_of_one(
    text: list[int], max_tokens: int
) -> None:
    async with serving() as it:
        (result,) = await translate(it, np.array(text), beam_width=1, max_tokens=max_tokens)
        streamed = await write(it, np.array(text), stream=True, max_tokens=max_tokens)
        whole = await write(it, np.array(text), beam_width=1, max_tokens=max_tokens)
        greedy = await write(it, np.array(text), temperature=0, max_tokens=max_tokens)
    assert streamed.streamed() == streamed.text == whole.text == greedy.text == written(result).text
    assert streamed.end.choices == whole.end.choices == greedy.end.choices
    assert streamed.end.usage == whole.end.usage


async def test_a_streamed_text_is_one_event_a_token() -> None:
    async with serving() as it:
        generated = await write(it, "cafe", stream=True)
        assert it.metric("tokens_total", model="babel") == generated.end.usage.completion_tokens
        assert it.metric("time_to_first_token_seconds_count", model="babel") == 1
    assert all(len(piece.text) == 1 for piece in generated.pieces)
    ended = generated.end.choices[0].finish_reason == "stop"
    assert generated.end.usage.completion_tokens == len(generated.pieces) + ended
    assert generated.end.usage.prompt_tokens == len("cafe")


async def test_a_search_gives_as_many_texts_as_are_asked_for_best_first() -> None:
    async with serving() as it:
        generated = await write(it, "decade", n=3, beam_width=4)
        assert it.metric("tokens_total", model="babel") == generated.end.usage.completion_tokens
    params = BeamParams(END, width=4, length_penalty=0.6, max_tokens=12)
    found = searched(ids("decade"), params)[:3]
    assert [choice.text for choice in generated.end.choices] == [
        letters(one.hypothesis.tokens) for one in found
    ]
    assert [choice.finish_reason for choice in generated.end.choices] == [o.reason for o in found]
    assert [choice.index for choice in generated.end.choices] == [0, 1, 2]
    ends = sum(one.reason == "stop" for one in found)
    assert generated.end.usage.completion_tokens == ends + sum(
        len(one.hypothesis.tokens) for one in found
    )


async def test_a_drawn_text_is_the_same_in_any_company() -> None:
    asked = {"temperature": 1.3, "seed": 7, "n": 2, "max_tokens": 20}
    async with serving() as it:
        alone = await write(it, "feed", **asked)
        together = await asyncio.gather(
            *(write(it, word, beam_width=4) for word in WORDS),
            write(it, "feed", **asked),
            *(write(it, word, stream=True) for word in WORDS),
        )
        other = await write(it, "feed", **asked | {"seed": 8})
    assert together[len(WORDS)].end.choices == alone.end.choices
    first, second = alone.end.choices
    assert first.text != second.text
    assert other.end.choices != alone.end.choices


async def test_what_was_read_is_no_repetition_of_what_is_written() -> None:
    """The letters of the source have other meanings in the target, or none."""
    async with serving() as it:
        plain = await write(it, "cafe", temperature=0, max_tokens=1)
        penalised = await write(
            it, plain.text + "cafe", temperature=0, max_tokens=1, repetition_penalty=100.0
        )
        expected = await write(it, plain.text + "cafe", temperature=0, max_tokens=1)
    assert penalised.text == expected.text


async def test_log_probabilities_are_told_of_each_token() -> None:
    async with serving() as it:
        generated = await write(it, "cafe", logprobs=2, max_tokens=30)
    (choice,) = generated.end.choices
    assert choice.logprobs is not None
    best = searched(ids("cafe"), BeamParams(END, max_tokens=30))[0]
    total = sum(token.logprob for token in choice.logprobs)
    assert total == pytest.approx(best.hypothesis.log_probability, abs=1e-9)


@pytest.mark.parametrize(
    ("asked", "param"),
    [
        ({"beam_width": 2, "stream": True}, "beam_width"),
        ({"beam_width": 2, "temperature": 0.5}, "beam_width"),
        ({"beam_width": 2, "logprobs": 1}, "beam_width"),
        ({"beam_width": 2, "stop": ("a",)}, "beam_width"),
        ({"beam_width": 2, "repetition_penalty": 1.5}, "beam_width"),
        ({"length_penalty": 1.0, "stream": True}, "length_penalty"),
        ({"n": 4}, "n"),
        ({"n": 3, "beam_width": 2}, "n"),
        ({"prompt": None}, "prompt"),
        ({"prompt": ""}, "prompt"),
        ({"stream": True, "temperature": -1.0}, "temperature"),
    ],
)
async def test_what_makes_no_sense_together_is_refused_by_its_name(
    asked: dict[str, Any], param: str
) -> None:
    async with serving() as it:
        with pytest.raises(InvalidInput) as caught:
            await write(it, **{"prompt": "bad"} | asked)
        assert caught.value.param == param


@pytest.mark.parametrize("field", ["beam_width", "length_penalty"])
async def test_a_text_that_is_gone_on_with_is_searched_for_by_nobody(field: str) -> None:
    async with serving() as it:
        with pytest.raises(InvalidInput) as caught:
            await generate(it, prompt="a", **{field: 1})
        assert caught.value.param == field


async def test_a_stream_that_is_closed_is_dropped_within_a_step() -> None:
    gate, steps = Gate(), list[StepInput]()

    def watch(step: StepInput) -> None:
        steps.append(step)
        if len(steps) == 4:
            gate(step)

    async with serving(on_step=watch) as it:
        request = GenerateRequest(prompt="decade", temperature=1.0, max_tokens=4000, seed=3)
        async with aclosing(it.plane.generate("babel", request, call=call())) as events:
            assert isinstance((await anext(events))[0], TextPiece)
            await asyncio.to_thread(gate.entered.wait)
        assert all(engine.in_flight == 0 for engine in it.engines)
        gate.open()

"""Generation from a session: what one prompt would have given, kept at the end or not at all."""

import asyncio
from contextlib import aclosing
from itertools import count
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from service.dataplane.types import DataPlaneLimits, GenerateRequest, OpenRequest, TextPiece
from service.errors import (
    InvalidInput,
    ModelFailed,
    SessionEnded,
    SessionLost,
    SessionNotFound,
    StepMismatch,
    TaskMismatch,
)
from service.runtime.base import StepInput
from tests.service.dataplane.serving import (
    Serving,
    call,
    collect,
    generate,
    go_on,
    predict_one,
    scores_of,
    serving,
)
from tests.service.fakes import Gate

PROMPT = "To be"


def open_one(it: Serving, session_id: str = "mine") -> None:
    it.plane.open_session("babble", OpenRequest(session_id=session_id), call=call())


async def feed(it: Serving, text: str) -> np.ndarray:
    feed = await it.plane.feed("mine", text, call=call())
    return scores_of(feed.reply.prediction)


def info(it: Serving) -> Any:
    return it.plane.session("mine", call=call())


@settings(deadline=None, max_examples=20)
@given(
    fed=st.lists(st.text("abc ", min_size=1, max_size=8), max_size=3),
    prompt=st.text("abc ", max_size=8),
    seed=st.integers(0, 2**64 - 1),
    temperature=st.sampled_from([0.0, 0.8, 1.5]),
)
async def test_a_session_goes_on_as_one_prompt_would_bit_for_bit(
    fed: list[str], prompt: str, seed: int, temperature: float
) -> None:
    request = {"seed": seed, "temperature": temperature, "max_tokens": 12, "logprobs": 2}
    async with serving() as it:
        open_one(it)
        for text in fed:
            await feed(it, text)
        continued = await go_on(it, "mine", prompt=prompt, **request)
        whole = await generate(it, prompt="".join(fed) + prompt, **request)
    assert continued.end.choices == whole.end.choices


async def test_the_session_stands_after_the_prompt_and_every_token() -> None:
    async with serving() as it:
        open_one(it)
        await feed(it, "abc")
        it.clock.pass_seconds(10)
        generated = await go_on(it, "mine", prompt=PROMPT, max_tokens=7, seed=1)
        assert info(it).step == 3 + 5 + 7
        assert info(it).expires_at == it.clock() + 600
        assert generated.end.session == info(it)
        assert generated.end.usage.reused_tokens == 3


async def test_two_generations_are_one_longer_one_where_nothing_is_drawn() -> None:
    async with serving() as it:
        open_one(it)
        first = await go_on(it, "mine", prompt=PROMPT, max_tokens=10, temperature=0, logprobs=0)
        second = await go_on(it, "mine", max_tokens=10, temperature=0, logprobs=0)
        whole = await generate(it, prompt=PROMPT, max_tokens=20, temperature=0, logprobs=0)
    parts = [generated.end.choices[0].logprobs or () for generated in (first, second)]
    assert parts[0] + parts[1] == whole.end.choices[0].logprobs


async def test_what_is_fed_after_a_generation_follows_its_last_token() -> None:
    async with serving() as it:
        open_one(it)
        request = {"prompt": PROMPT, "max_tokens": 2}
        # Of whole characters, so that the text can be given again.
        seed, text = await anext(
            (seed, text)
            for seed in count()
            if (text := (await generate(it, **request, seed=seed)).text).isascii()
        )
        assert (await go_on(it, "mine", **request, seed=seed)).text == text
        after = await feed(it, "xyz")
        whole = scores_of(await predict_one(it, "babble", PROMPT + text + "xyz"))
    np.testing.assert_array_equal(after, whole[-3:])


async def test_the_session_keeps_a_stop_string_that_the_text_has_not() -> None:
    async with serving() as it:
        open_one(it)
        request = {"prompt": PROMPT, "seed": 2, "max_tokens": 50}
        whole = (await generate(it, **request)).text
        stop = next(letter for letter in whole[5:] if letter.isascii())
        stopped = await go_on(it, "mine", **request, stop=(stop,))
        assert stop not in stopped.text
        assert info(it).step == len(PROMPT) + stopped.end.usage.completion_tokens


async def test_a_retry_gives_the_same_generation_and_moves_nothing() -> None:
    async with serving() as it:
        open_one(it)
        # No seed: the first draw is remembered, not drawn again.
        first = await go_on(it, "mine", step=0, prompt=PROMPT, logprobs=1)
        before = info(it)
        again = await go_on(it, "mine", step=0, prompt=PROMPT, logprobs=1)
        assert replace(again.end, replayed=False) == first.end
        assert again.end.replayed
        assert again.streamed() == first.text
        assert info(it) == before
        with pytest.raises(StepMismatch):
            await go_on(it, "mine", step=0, prompt="other", logprobs=1)
        with pytest.raises(StepMismatch):
            await it.plane.feed("mine", PROMPT, call=call(), step=0)


async def test_a_stream_that_is_left_commits_nothing_and_frees_the_session() -> None:
    async with serving(limits=DataPlaneLimits(max_streams=1)) as it:
        open_one(it)
        await feed(it, "abc")
        before = info(it)
        request = GenerateRequest(prompt=PROMPT, max_tokens=1000, seed=1, logprobs=0)
        events = it.plane.session_generate("mine", request, call=call())
        async with aclosing(events):
            assert isinstance((await anext(events))[0], TextPiece)
            assert info(it).busy
        assert info(it) == before
        assert (await go_on(it, "mine", max_tokens=2)).end.session


async def test_a_generation_that_fails_commits_nothing() -> None:
    seen: list[int] = []

    def break_at_the_fifth(step: StepInput) -> None:
        seen.append(len(step.lengths))
        if len(seen) == 5:
            raise ModelFailed("broken")

    async with serving(on_step=break_at_the_fifth) as it:
        open_one(it)
        before = info(it)
        with pytest.raises(ModelFailed):
            await go_on(it, "mine", prompt="a", max_tokens=100)
        assert info(it) == before


async def test_a_session_that_is_ended_meanwhile_stays_ended() -> None:
    gate = Gate()
    async with serving(on_step=gate) as it:
        open_one(it)
        task = asyncio.create_task(go_on(it, "mine", prompt=PROMPT, max_tokens=3))
        await asyncio.to_thread(gate.entered.wait)
        it.plane.end_session("mine", call=call())
        gate.open()
        with pytest.raises(SessionEnded):
            await task


async def test_a_session_that_is_lost_with_its_version_is_said_to_be() -> None:
    gate = Gate()
    async with serving(on_step=gate) as it:
        open_one(it)
        task = asyncio.create_task(go_on(it, "mine", prompt=PROMPT, max_tokens=1))
        await asyncio.to_thread(gate.entered.wait)
        # As at the end of a drain: first the sessions end, then the version is gone.
        it.sessions.end(it.sessions.get("mine", tenant="one"), "lost")
        del it.registry.served["babble"]
        gate.open()
        with pytest.raises(SessionLost):
            await task


async def test_a_step_waits_for_the_generation_before_it() -> None:
    async with serving() as it:
        open_one(it)
        generated, scores = await asyncio.gather(
            go_on(it, "mine", prompt=PROMPT, max_tokens=5, seed=3), feed(it, "abc")
        )
        assert generated.end.session is not None
        assert generated.end.session.step == 10
        assert info(it).step == 13
        assert len(scores) == 3


async def test_a_session_that_only_lends_its_state_is_left_by_a_fork_as_it_is() -> None:
    async with serving() as it:
        open_one(it)
        await feed(it, "abc")
        fork = it.plane.fork_session("mine", call=call())
        texts = [
            (await go_on(it, name, max_tokens=10, seed=9)).text
            for name in (fork.session_id, "mine")
        ]
    assert texts[0] == texts[1]


@pytest.mark.parametrize(
    ("request_", "error", "param"),
    [({"n": 2}, InvalidInput, "n"), ({"max_tokens": 10**9}, InvalidInput, "max_tokens")],
)
async def test_what_a_session_cannot_do_is_refused_by_the_field(
    request_: dict[str, Any], error: type[Exception], param: str
) -> None:
    async with serving() as it:
        open_one(it)
        before = info(it)
        with pytest.raises(error) as caught:
            await go_on(it, "mine", **request_)
        assert getattr(caught.value, "param", None) == param
        assert info(it) == before


async def test_a_session_of_numbers_generates_nothing() -> None:
    async with serving() as it:
        it.plane.open_session("running-total", OpenRequest(session_id="mine"), call=call())
        with pytest.raises(TaskMismatch):
            await go_on(it, "mine")


async def test_another_tenants_session_generates_nothing() -> None:
    async with serving() as it:
        open_one(it)
        request = GenerateRequest()
        with pytest.raises(SessionNotFound):
            await collect(it.plane.session_generate("mine", request, call=call(tenant="other")))

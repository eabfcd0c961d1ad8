"""Generation: the same text in any company, as a stream or whole, alone or as one of many."""

import asyncio
import time
from contextlib import aclosing
from typing import Any

import numpy as np
import pytest

from service.dataplane.types import DataPlaneLimits, GenerateRequest, TextPiece
from service.errors import (
    DeadlineExceeded,
    InvalidInput,
    ModelFailed,
    QueueFull,
    RecurError,
    TaskMismatch,
    TooLarge,
    TooManyStreams,
)
from service.runtime.base import StepInput
from tests.service.dataplane.serving import (
    SMALL,
    Generated,
    call,
    collect,
    direct,
    generate,
    predict_one,
    scores_of,
    serving,
    tokens_of,
)
from tests.service.fakes import Gate

PROMPT = "To be"


def logprobs_of(generated: Generated) -> np.ndarray:
    tokens = generated.end.choices[0].logprobs
    assert tokens is not None
    return np.array([token.logprob for token in tokens])


async def test_it_gives_as_many_tokens_as_asked_for() -> None:
    async with serving() as it:
        generated = await generate(it, prompt=PROMPT, max_tokens=12, seed=1)
    (choice,) = generated.end.choices
    assert (choice.index, choice.finish_reason, choice.logprobs) == (0, "length", None)
    usage = generated.end.usage
    assert (usage.prompt_tokens, usage.completion_tokens, usage.reused_tokens) == (5, 12, 0)
    assert (generated.end.model, generated.end.version) == ("babble", 1)
    assert generated.end.session is None


async def test_the_model_says_how_many_where_the_request_does_not() -> None:
    async with serving() as it:
        assert (await generate(it, prompt=PROMPT)).end.usage.completion_tokens == 16
    async with serving(limits=DataPlaneLimits(max_tokens=3)) as it:
        assert (await generate(it, prompt=PROMPT)).end.usage.completion_tokens == 3


async def test_one_seed_gives_one_text_and_two_give_two() -> None:
    async with serving() as it:
        texts = [(await generate(it, prompt=PROMPT, seed=seed)).text for seed in (5, 5, 6)]
        unseeded = [(await generate(it, prompt=PROMPT)).text for _ in range(2)]
    assert texts[0] == texts[1] != texts[2]
    assert unseeded[0] != unseeded[1]


@pytest.mark.parametrize("prompt", [None, "", np.zeros(0, np.int64)])
async def test_an_empty_prompt_starts_from_nothing(prompt: Any) -> None:
    async with serving() as it:
        generated = await generate(it, prompt=prompt, seed=3)
        assert generated.text == (await generate(it, seed=3)).text
    assert generated.end.usage.prompt_tokens == 0


async def test_tokens_are_as_good_a_prompt_as_their_text() -> None:
    async with serving() as it:
        text = await generate(it, prompt="aaa", seed=3)
        tokens = await generate(it, prompt=np.array(tokens_of("aaa")), seed=3)
    assert text.text == tokens.text


VARIED: list[dict[str, Any]] = [
    {"temperature": 0.0},
    {"temperature": 0.7, "top_k": 5},
    {"top_p": 0.8, "repetition_penalty": 1.5},
    {"n": 3},
    {"logprobs": 3},
    {"stop": ("e", "\n")},
    {"stream": False},
]


@pytest.mark.parametrize("num_workers", [1, 3])
@pytest.mark.parametrize("stream", [True, False])
async def test_twenty_others_change_nothing(stream: bool, num_workers: int) -> None:
    async with serving(num_workers=num_workers) as it:
        mine = {"prompt": PROMPT, "seed": 11, "max_tokens": 40, "logprobs": 2, "stream": stream}
        alone = await generate(it, **mine)
        others = [
            generate(it, prompt="x" * (1 + i % 7), seed=i, max_tokens=10 + i, **VARIED[i % 7])
            for i in range(20)
        ]
        in_company, *_ = await asyncio.gather(generate(it, **mine), *others)
    assert in_company.end == alone.end


@pytest.mark.parametrize("seed", range(8))
async def test_the_pieces_of_a_stream_are_the_whole_text(seed: int) -> None:
    async with serving() as it:
        request = {"prompt": PROMPT, "seed": seed, "max_tokens": 60, "temperature": 1.5, "n": 2}
        streamed = await generate(it, **request)
        whole = await generate(it, **request, stream=False)
    assert streamed.end == whole.end
    for index in range(2):
        assert streamed.streamed(index) == whole.streamed(index) == whole.end.choices[index].text
    assert len(streamed.pieces) > len(whole.pieces)
    assert all(piece.text for piece in streamed.pieces)


async def test_choices_are_independent_and_the_first_is_that_of_a_lone_request() -> None:
    async with serving() as it:
        request = {"prompt": PROMPT, "seed": 21, "max_tokens": 20, "logprobs": 0}
        one, two, five = [(await generate(it, **request, n=n)).end for n in (1, 2, 5)]
    assert five.choices[:2] == two.choices
    assert two.choices[:1] == one.choices
    assert len({choice.text for choice in five.choices}) == 5
    assert [choice.index for choice in five.choices] == list(range(5))
    assert five.usage.completion_tokens == 100
    # The prompt was read once, for all five.
    assert five.usage.reused_tokens == 4 * 5


@pytest.mark.parametrize("stream", [True, False])
async def test_text_ends_before_a_stop_string_that_spans_tokens(stream: bool) -> None:
    async with serving() as it:
        request = {"prompt": PROMPT, "seed": 2, "max_tokens": 50, "stream": stream}
        whole = (await generate(it, **request)).text
        at, stop = next(
            (at, whole[at : at + 2])
            for at in range(len(whole) // 2, len(whole))
            if whole[at : at + 2].isascii() and whole.index(whole[at : at + 2]) == at
        )
        stopped = await generate(it, **request, stop=("never there", stop))
    (choice,) = stopped.end.choices
    assert choice.text == whole[:at]
    assert stopped.streamed() == whole[:at]
    assert choice.finish_reason == "stop"
    assert stopped.end.usage.completion_tokens < 50


async def test_what_a_stop_string_held_back_comes_at_the_end() -> None:
    async with serving() as it:
        request = {"prompt": PROMPT, "seed": 2, "max_tokens": 30}
        whole = (await generate(it, **request)).text
        held = await generate(it, **request, stop=(whole[-1] + "more",))
    assert held.text == held.streamed() == whole
    assert held.end.choices[0].finish_reason == "length"


def greedy_directly(prompt: list[int], *, steps: int) -> list[int]:
    """The likeliest token after the prompt, and so on, by the runtime alone."""
    runtime = direct("babble")
    state = tuple(array[:, None] for array in runtime.initial_state())
    tokens: list[int] = []
    for _ in range(steps):
        inputs = np.array([[0, *prompt, *tokens]])
        lengths = np.array([inputs.size], np.int32)
        logits = runtime.step(StepInput(inputs, lengths, state)).outputs["logits"]
        tokens.append(int(logits[0, -1].argmax()))
    return tokens


async def test_greedy_text_is_the_likeliest_and_scores_as_it_was_generated() -> None:
    prompt = tokens_of(PROMPT)
    tokens = greedy_directly(prompt, steps=30)
    async with serving() as it:
        generated = await generate(
            it, prompt=PROMPT, temperature=0, max_tokens=30, logprobs=1, seed=0
        )
        scores = scores_of(await predict_one(it, "babble", np.array(prompt + tokens)))
    # Bit for bit: the logits are, and log_softmax works row by row.
    np.testing.assert_array_equal(logprobs_of(generated), scores[-30:])
    choice = generated.end.choices[0]
    assert choice.logprobs is not None
    assert all(token.top == {token.token: token.logprob} for token in choice.logprobs)


async def test_log_probabilities_are_the_models_whatever_the_sampling() -> None:
    async with serving() as it:
        generated = await generate(
            it, prompt=PROMPT, temperature=0.3, top_k=2, max_tokens=10, logprobs=20, seed=1
        )
    choice = generated.end.choices[0]
    assert choice.logprobs is not None
    assert len(choice.logprobs) == 10
    for token in choice.logprobs:
        top = list(token.top.values())
        assert top == sorted(top, reverse=True)
        # One of the two likeliest, for top_k is 2; not all the probability, for there are 256.
        assert token.logprob in top[:2]
        assert 0 < np.exp(top).sum() < 1
    assert [t for piece in generated.pieces for t in piece.logprobs] == list(choice.logprobs)


async def test_a_repetition_penalty_counts_the_prompt_and_what_was_generated() -> None:
    async with serving() as it:
        generated = await generate(
            it, prompt=PROMPT, temperature=0, repetition_penalty=100.0, max_tokens=40, logprobs=0
        )
    choice = generated.end.choices[0]
    assert choice.logprobs is not None
    names = [token.token for token in choice.logprobs]
    assert len(set(names)) == len(names) == 40
    assert not set(names) & set(PROMPT)


async def test_closing_the_stream_drops_the_work_within_one_step() -> None:
    steps: list[int] = []
    gate = Gate()

    def watch(step: StepInput) -> None:
        steps.append(len(step.lengths))
        if len(steps) == 3:
            gate(step)

    async with serving(on_step=watch, limits=DataPlaneLimits(max_streams=1)) as it:
        request = GenerateRequest(prompt="a", max_tokens=4000, seed=1, logprobs=0)
        async with aclosing(it.plane.generate("babble", request, call=call())) as events:
            assert isinstance((await anext(events))[0], TextPiece)
            await asyncio.to_thread(gate.entered.wait)
        assert all(engine.in_flight == 0 for engine in it.engines)
        gate.open()
        # The slot is free again; and of the first one no step follows the one that was under way.
        await generate(it, prompt="a", max_tokens=1, seed=1)
        assert len(steps) <= 4


async def test_a_consumer_who_is_cancelled_frees_its_slot() -> None:
    gate = Gate()
    async with serving(on_step=gate, limits=DataPlaneLimits(max_streams=1)) as it:
        task = asyncio.create_task(generate(it, prompt=PROMPT, n=2))
        await asyncio.to_thread(gate.entered.wait)
        with pytest.raises(TooManyStreams, match="RECUR_MAX_STREAMS"):
            await generate(it, prompt=PROMPT)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        gate.open()
        assert (await generate(it, prompt=PROMPT, max_tokens=2)).end.usage.completion_tokens == 2


async def test_a_stream_that_fails_frees_its_slot() -> None:
    def break_now(step: StepInput) -> None:
        raise ModelFailed("broken")

    async with serving(on_step=break_now, limits=DataPlaneLimits(max_streams=1)) as it:
        for n in (1, 1, 2):
            with pytest.raises(ModelFailed):
                await generate(it, prompt=PROMPT, n=n)


async def test_one_choice_that_fails_ends_them_all() -> None:
    seen: list[int] = []

    def break_at_the_third(step: StepInput) -> None:
        seen.append(len(step.lengths))
        if len(seen) == 3:
            raise ModelFailed("broken")

    async with serving(on_step=break_at_the_third, scheduler=SMALL) as it:
        with pytest.raises(ModelFailed):
            await generate(it, prompt="a", n=3, max_tokens=100)


async def test_a_deadline_holds_between_tokens() -> None:
    deadline = time.monotonic() + 0.1
    async with serving(limits=DataPlaneLimits(max_tokens=1_000_000)) as it:
        request = GenerateRequest(prompt=PROMPT, max_tokens=1_000_000)
        pieces = it.plane.generate("babble", request, call=call(deadline=deadline))
        with pytest.raises(DeadlineExceeded):
            await collect(pieces)


@pytest.mark.parametrize(
    ("request_", "param", "setting"),
    [
        ({"max_tokens": 101}, "max_tokens", "RECUR_MAX_TOKENS"),
        ({"max_tokens": 0}, "max_tokens", ""),
        ({"n": 5}, "n", "RECUR_MAX_CHOICES"),
        ({"n": 0}, "n", ""),
        ({"logprobs": 4}, "logprobs", "RECUR_MAX_LOGPROBS"),
        ({"logprobs": -1}, "logprobs", ""),
        ({"stop": ("a",) * 4}, "stop", "RECUR_MAX_STOP_STRINGS"),
        ({"stop": ("a", "")}, "stop", ""),
        ({"temperature": -0.1}, "temperature", ""),
        ({"temperature": float("nan")}, "temperature", ""),
        ({"temperature": float("inf")}, "temperature", ""),
        ({"top_k": -1}, "top_k", ""),
        ({"top_p": 0.0}, "top_p", ""),
        ({"top_p": 1.1}, "top_p", ""),
        ({"repetition_penalty": 0.0}, "repetition_penalty", ""),
        ({"seed": -1}, "seed", ""),
        ({"seed": 2**64}, "seed", ""),
        ({"prompt": np.array([256])}, "prompt[0]", ""),
        ({"prompt": "a\ud800"}, "prompt", ""),
        ({"prompt": "a" * 51}, "prompt", "RECUR_MAX_STEPS"),
    ],
)
async def test_a_limit_is_named_in_its_error(
    request_: dict[str, Any], param: str, setting: str
) -> None:
    limits = DataPlaneLimits(
        max_steps=50, max_tokens=100, max_choices=4, max_logprobs=3, max_stop_strings=3
    )
    async with serving(limits=limits) as it:
        with pytest.raises(RecurError) as caught:
            await generate(it, **{"prompt": PROMPT} | request_)
    assert isinstance(caught.value, InvalidInput | TooLarge)
    assert caught.value.param == param
    assert setting in caught.value.message


async def test_more_choices_than_the_queue_holds_leave_nothing_behind() -> None:
    async with serving(max_queue=2) as it:
        with pytest.raises(QueueFull):
            await generate(it, prompt=PROMPT, n=3)
        assert await generate(it, prompt=PROMPT, n=2)


@pytest.mark.parametrize("model", ["running-total", "parity"])
async def test_only_a_language_model_generates(model: str) -> None:
    async with serving() as it:
        with pytest.raises(TaskMismatch) as caught:
            await collect(it.plane.generate(model, GenerateRequest(), call=call()))
    assert caught.value.param == "model"

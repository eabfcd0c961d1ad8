"""Sound: samples in chunks of any size, whole hops at a time, are one recording."""

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.artifact.artifact import Artifact, load_artifact
from service.dataplane.types import Chunk, Feed, OpenRequest, Prediction, Transcript
from service.errors import InvalidInput, RecurError, StepMismatch, TooLarge
from service.protocols.native import binary, render
from tests.service.artifacts import KNOCKS_HOP, save_knocks
from tests.service.dataplane.serving import Serving, call, runtime_of, serving

A, B, QUIET = [0.5] * KNOCKS_HOP, [-0.5] * KNOCKS_HOP, [0.0] * KNOCKS_HOP
levels = st.lists(st.sampled_from([0.5, -0.5, 0.0, 1.0, -0.25]), min_size=4, max_size=120)


@cache
def knocks() -> Artifact:
    with TemporaryDirectory() as folder:
        artifact = load_artifact(save_knocks(Path(folder)))
        runtime_of(artifact)  # while its files are there
    return artifact


def samples(*hops: Sequence[float]) -> np.ndarray:
    return np.concatenate([np.array(hop, np.float32) for hop in hops])


def transcript(result: Prediction | RecurError) -> Transcript:
    assert isinstance(result, Prediction), result
    assert isinstance(result.answer, Transcript)
    return result.answer


async def heard(it: Serving, value: np.ndarray) -> Transcript:
    (result,) = (await it.plane.predict("knocks", [value], call=call())).results
    return transcript(result)


def opened(it: Serving) -> str:
    return it.plane.open_session("knocks", OpenRequest(), call=call()).session_id


async def test_what_was_said_is_told_with_its_times() -> None:
    async with serving([knocks()]) as it:
        answer = await heard(it, samples(QUIET, A, A, QUIET, A, B, QUIET))
    assert answer.text == "aab"
    assert answer.times == [1.0, 2.5, 3.0]  # the end of hops of half a second
    assert answer.score < 0


async def test_a_recording_may_come_in_hops_too() -> None:
    rows = samples(QUIET, A, B)
    async with serving([knocks()]) as it:
        assert await heard(it, rows.reshape(3, KNOCKS_HOP)) == await heard(it, rows)


@settings(deadline=None, max_examples=30)
@given(levels, st.lists(st.integers(1, 30), min_size=1, max_size=8))
async def test_chunks_of_any_number_of_samples_equal_the_whole(
    values: list[float], sizes: list[int]
) -> None:
    whole = np.array(values, np.float32)
    async with serving([knocks()]) as it:
        session, sent, waiting = opened(it), 0, 0
        answers = list[Transcript]()
        for size in [*sizes, len(whole)]:
            chunk = whole[sent : sent + size]
            if waiting + len(chunk) < KNOCKS_HOP:
                continue  # it completes no hop: it is sent with what follows
            feed = await it.plane.feed(session, chunk, call=call())
            answers.append(transcript(feed.reply.prediction))
            sent += len(chunk)
            waiting = sent % KNOCKS_HOP
            assert feed.reply.step == sent // KNOCKS_HOP
        expected = await heard(it, whole[:sent])
    assert "".join(answer.text for answer in answers) == expected.text
    assert [time for answer in answers for time in answer.times] == expected.times
    assert sum(answer.score for answer in answers) == pytest.approx(expected.score)


async def test_a_chunk_that_completes_no_hop_is_refused_and_changes_nothing() -> None:
    async with serving([knocks()]) as it:
        session = opened(it)
        await it.plane.feed(session, samples(QUIET, [0.5]), call=call())
        with pytest.raises(InvalidInput, match="complete no hop of 4: send at least 3") as refused:
            await it.plane.feed(session, samples([0.5, 0.5]), call=call())
        feed = await it.plane.feed(session, samples([0.5, 0.5, 0.5]), call=call())
    assert refused.value.param == "inputs"
    assert refused.value.details == {"hop": 4, "min": 3}
    assert transcript(feed.reply.prediction).text == "a"


async def test_a_label_that_goes_on_in_the_next_chunk_is_told_once() -> None:
    async with serving([knocks()]) as it:
        session = opened(it)
        feeds = [await it.plane.feed(session, samples(A, A), call=call()) for _ in range(3)]
        feeds.append(await it.plane.feed(session, samples(QUIET, A), call=call()))
    answers = [transcript(feed.reply.prediction) for feed in feeds]
    assert [answer.text for answer in answers] == ["a", "", "", "a"]
    assert answers[-1].times == [4.0]


async def test_a_retry_is_answered_alike_and_heard_once() -> None:
    chunk = samples(A, QUIET, [0.5, 0.5, 0.5])
    async with serving([knocks()]) as it:
        session = opened(it)
        first = await it.plane.feed(session, chunk, call=call(), step=0)
        again = await it.plane.feed(session, chunk, call=call(), step=0)
        with pytest.raises(StepMismatch):
            await it.plane.feed(session, chunk[1:], call=call(), step=0)
        # The three samples that wait are not there twice.
        rest = await it.plane.feed(session, samples([0.5]), call=call(), step=2)
    assert (first.replayed, again.replayed) == (False, True)
    assert first.reply == again.reply
    assert transcript(rest.reply.prediction).text == "a"


async def test_a_fork_goes_on_from_the_same_samples_and_the_same_label() -> None:
    async with serving([knocks()]) as it:
        session = opened(it)
        await it.plane.feed(session, samples(A, [0.5, 0.5]), call=call())
        fork = it.plane.open_session("knocks", OpenRequest(fork_of=session), call=call())
        rest = samples([0.5, 0.5], B)
        feeds = [await it.plane.feed(one, rest, call=call()) for one in (session, fork.session_id)]
    answers = [transcript(feed.reply.prediction) for feed in feeds]
    assert answers[0] == answers[1]
    assert answers[0].text == "b"


async def test_many_chunks_in_one_request_are_heard_in_order_and_one_fails_alone() -> None:
    async with serving([knocks()]) as it:
        one, other = opened(it), opened(it)
        chunks = [
            Chunk(one, samples(A, [0.5, 0.5])),
            Chunk(other, samples([0.5])),
            Chunk(one, samples([0.5, 0.5], B)),
        ]
        first, refused, second = await it.plane.feed_many(chunks, call=call())
    assert isinstance(first, Feed)
    assert isinstance(second, Feed)
    texts = [transcript(feed.reply.prediction).text for feed in (first, second)]
    assert texts == ["a", "b"]
    assert isinstance(refused, InvalidInput)
    assert refused.param == "steps[1].inputs"


@pytest.mark.parametrize(
    ("value", "param"),
    [
        (np.array([0.0, 0.0, 2.0, 0.0, 0.0]), "inputs[1][2]"),
        (np.array([0, 20_000, 0, 0]), "inputs[1][1]"),
        (np.array([0.0, np.nan, 0.0, 0.0]), "inputs[1][1]"),
        (np.full((2, KNOCKS_HOP), [[0.0], [3.0]]), "inputs[1][1]"),
        (np.zeros((2, 3)), "inputs[1]"),
        (np.zeros(3), "inputs[1]"),
        ("hello", "inputs[1]"),
    ],
)
async def test_what_is_no_sound_fails_alone(value: np.ndarray | str, param: str) -> None:
    async with serving([knocks()]) as it:
        results = await it.plane.predict("knocks", [samples(A), value], call=call())
    good, refused = results.results
    assert transcript(good).text == "a"
    assert isinstance(refused, InvalidInput)
    assert refused.param == param


async def test_a_limit_of_steps_is_one_of_hops() -> None:
    too_long = np.zeros(100_001 * KNOCKS_HOP, np.float32)
    async with serving([knocks()]) as it:
        (refused,) = (await it.plane.predict("knocks", [too_long], call=call())).results
    assert isinstance(refused, TooLarge)
    assert refused.details == {"limit": 100_000}


async def test_an_answer_is_text_score_and_times_in_json_and_in_tensors() -> None:
    async with serving([knocks()]) as it:
        values = [samples(A, QUIET, B), np.zeros(1), samples(QUIET)]
        predictions = await it.plane.predict("knocks", values, call=call())
    shown = render.predictions(predictions)["predictions"]
    assert shown[0].keys() == {"text", "score", "times"}
    assert (shown[0]["text"], shown[0]["times"]) == ("ab", [0.5, 1.5])
    assert (shown[2]["text"], shown[2]["times"]) == ("", [])
    tensors = binary.predictions(predictions)
    assert tensors is not None
    assert tensors.metadata["texts"] == '["ab", null, ""]'
    assert tensors.arrays["times"].tolist() == [0.5, 1.5]
    assert tensors.arrays["times.lengths"].tolist() == [2, 0, 0]
    assert tensors.arrays["score"].shape == (3,)

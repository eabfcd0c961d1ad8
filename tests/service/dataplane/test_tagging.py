"""Tagging: a tag for every token and for every word, whole or as a session hears it."""

import json

import numpy as np
import pytest

from service.dataplane.types import Feed, OpenRequest, Prediction, TaggedWord, Tagging
from service.errors import RecurError
from service.protocols.native import binary, render
from service.protocols.reply import to_json
from tests.service.dataplane.serving import Serving, call, serving

TEXT = "odd  evened even"
"""Tokens 1 | 2 7 4 | 2: odd ones are `ODD` for certain, the others `EVEN` by a hair."""
CERTAIN = 1 / (1 + np.exp(-2))
"""Scores -1 and 1; those of `EVEN` are both zero."""


def tagging(result: Prediction | RecurError) -> Tagging:
    assert isinstance(result, Prediction), result
    assert isinstance(result.answer, Tagging)
    return result.answer


async def tagged(it: Serving, value: str | np.ndarray) -> Tagging:
    (result,) = (await it.plane.predict("stress", [value], call=call())).results
    return tagging(result)


async def test_every_token_has_a_tag_and_every_word_that_of_its_last_token() -> None:
    async with serving() as it:
        answer = await tagged(it, TEXT)
    assert answer.tokens == ["odd", "even", "##e", "##d", "even"]
    assert answer.tags == ["ODD", "EVEN", "ODD", "EVEN", "EVEN"]
    assert answer.tag_probabilities == pytest.approx([CERTAIN, 0.5, CERTAIN, 0.5, 0.5])
    assert answer.words is not None
    assert [(w.word, w.tag) for w in answer.words] == [
        ("odd", "ODD"),
        ("evened", "EVEN"),
        ("even", "EVEN"),
    ]
    assert all(TEXT[word.start : word.end] == word.word for word in answer.words)
    assert answer.words[0] == TaggedWord("odd", 0, 3, "ODD", pytest.approx(CERTAIN))


async def test_the_intent_is_what_the_last_step_says() -> None:
    async with serving() as it:
        whole, begun = await tagged(it, TEXT), await tagged(it, "odd")
    assert whole.intent is not None
    assert whole.intent.label == "even"  # 16
    assert begun.intent is not None
    assert begun.intent.label == "odd"  # 1
    assert begun.intent.named["odd"] == pytest.approx(CERTAIN)


async def test_token_ids_have_tags_and_no_words() -> None:
    async with serving() as it:
        by_text, by_ids = await tagged(it, TEXT), await tagged(it, np.array([1, 2, 7, 4, 2]))
    assert by_ids.words is None
    assert by_ids.tags == by_text.tags
    assert by_ids.tag_probabilities == by_text.tag_probabilities


async def test_a_session_tags_each_chunk_and_remembers_what_came_before() -> None:
    async with serving() as it:
        session = it.plane.open_session("stress", OpenRequest(), call=call()).session_id
        feeds = [await it.plane.feed(session, word, call=call()) for word in TEXT.split()]
    answers = [tagging(feed.reply.prediction) for feed in feeds]
    assert [answer.tags for answer in answers] == [["ODD"], ["EVEN", "ODD", "EVEN"], ["EVEN"]]
    intents = [answer.intent.label for answer in answers if answer.intent is not None]
    assert intents == ["odd", "even", "even"]  # 1, 14, 16
    assert [feed.reply.step for feed in feeds] == [1, 4, 5]


async def test_raw_outputs_are_given_where_asked_for_and_only_there() -> None:
    async with serving() as it:
        with_raw = await it.plane.predict("stress", [TEXT], call=call(), raw=True)
        without = await it.plane.predict("stress", [TEXT], call=call())
    (raw,), (plain,) = with_raw.results, without.results
    assert isinstance(raw, Prediction)
    assert isinstance(plain, Prediction)
    assert raw.outputs is not None
    assert raw.outputs["scores"].shape == (5, 4)
    assert plain.outputs is None
    assert tagging(raw).words == tagging(plain).words


async def test_a_long_text_is_tagged_across_many_chunks() -> None:
    async with serving() as it:  # chunks of four steps
        answer = await tagged(it, " ".join(["odd", "even"] * 50))
    assert answer.tags == ["ODD", "EVEN"] * 50


async def test_in_json_an_answer_is_tokens_words_and_intent() -> None:
    async with serving() as it:
        predictions = await it.plane.predict("stress", [TEXT], call=call())
    (shown,) = json.loads(to_json(render.predictions(predictions)))["predictions"]
    assert shown.keys() == {"tokens", "tags", "tag_probabilities", "words", "intent"}
    assert shown["words"][1] == {
        "word": "evened",
        "start": 5,
        "end": 11,
        "tag": "EVEN",
        "probability": 0.5,
    }
    assert shown["intent"]["label"] == "even"


async def test_in_tensors_tags_are_told_in_the_metadata() -> None:
    async with serving() as it:
        predictions = await it.plane.predict("stress", ["odd", TEXT, ""], call=call())
        session = it.plane.open_session("stress", OpenRequest(), call=call()).session_id
        feed: Feed = await it.plane.feed(session, "odd", call=call())
    tensors = binary.predictions(predictions)
    assert tensors is not None
    assert json.loads(tensors.metadata["tags"]) == [
        ["ODD"],
        ["ODD", "EVEN", "ODD", "EVEN", "EVEN"],
        None,
    ]
    assert json.loads(tensors.metadata["labels"]) == ["even", "odd"]
    assert tensors.arrays["tag_probabilities.lengths"].tolist() == [1, 5, 0]
    assert tensors.arrays["probabilities"].shape == (3, 2)
    assert binary.feed(feed).metadata["tags"] == '[["ODD"]]'

"""A model of pairs over HTTP: its fields, its limits and its answers, in JSON and in tensors."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import msgspec
import numpy as np
import pytest

from service.artifact.beam import BeamParams
from service.dataplane.in_process import InProcess
from service.protocols.native.schemas import GenerateReply, ModelReply, PredictReply
from service.protocols.tensors import MEDIA_TYPE, Tensors, dump, load
from tests.service.dataplane.serving import serving
from tests.service.dataplane.translating import END, ids, letters, searched
from tests.service.protocols.serving import client_of, make_app

PREDICT = "/v1/models/babel/predict"
GENERATE = "/v1/models/babel/generate"


@asynccontextmanager
async def client() -> AsyncIterator[httpx.AsyncClient]:
    async with serving() as it:
        plane: Any = InProcess(it.plane)
        async with client_of(make_app(plane)) as client:
            yield client


async def post(path: str, body: Any, **headers: str) -> httpx.Response:
    async with client() as connected:
        if isinstance(body, bytes):
            return await connected.post(path, content=body, headers=headers)
        return await connected.post(path, json=body, headers=headers)


def expected(text: str, **params: Any) -> dict[str, Any]:
    search = BeamParams(END, **{"width": 3, "length_penalty": 0.6, "max_tokens": 12} | params)
    best = searched(ids(text), search)[0]
    return {"text": letters(best.hypothesis.tokens), "score": best.score}


async def test_each_source_has_its_text_and_its_score_and_a_wrong_one_its_error():
    reply = await post(PREDICT, {"inputs": ["cafe", "no letters", "bad"]})
    cafe, wrong, bad = reply.json()["predictions"]
    assert (cafe, bad) == (expected("cafe"), expected("bad"))
    assert wrong["error"]["param"] == "inputs[1]"
    assert reply.json()["usage"] == {"sequences": 3, "steps": 7}
    read = msgspec.json.decode(reply.content, type=PredictReply)
    assert msgspec.to_builtins(read) == reply.json()


async def test_a_request_may_search_in_its_own_way():
    search = {"beam_width": 5, "length_penalty": 1.0, "max_tokens": 7}
    reply = await post(PREDICT, {"inputs": ["decade"], **search})
    as_params = {"width": 5, "length_penalty": 1.0, "max_tokens": 7}
    assert reply.json()["predictions"] == [expected("decade", **as_params)]


async def test_an_explanation_is_where_it_looked_for_each_token():
    body = {"inputs": ["cafe", "decade"], "explain": True, "raw": True}
    reply = await post(PREDICT, body)
    for text, told in zip(body["inputs"], reply.json()["predictions"], strict=True):
        alignment = told["alignment"]
        assert alignment["source"] == [*text, "[END]"]
        end = ["[END]"] if len(told["text"]) < 12 else []
        assert alignment["target"] == [*told["text"], *end]
        weights = np.array(alignment["weights"])
        assert weights.shape == (len(alignment["target"]), len(alignment["source"]))
        np.testing.assert_allclose(weights.sum(axis=1), 1, atol=1e-6)
        assert told["outputs"]["attention"] == alignment["weights"]
        chosen = np.array(told["outputs"]["logits"]).shape[0]
        assert chosen == len(alignment["target"])
    read = msgspec.json.decode(reply.content, type=PredictReply)
    assert msgspec.to_builtins(read) == reply.json()
    plain = await post(PREDICT, {"inputs": ["cafe"]})
    assert plain.json()["predictions"][0] == {
        name: reply.json()["predictions"][0][name] for name in ("text", "score")
    }


async def test_a_text_is_streamed_one_event_a_token():
    reply = await post(GENERATE, {"prompt": "cafe", "stream": True})
    assert reply.headers["content-type"].startswith("text/event-stream")
    *pieces, done = [
        json.loads(line.removeprefix("data: "))
        for line in reply.text.splitlines()
        if line.startswith("data: ")
    ]
    text = expected("cafe", width=1)["text"]
    assert [piece["text"] for piece in pieces] == [*text]
    assert done["usage"]["prompt_tokens"] == 4


async def test_a_search_answers_with_its_best_texts():
    reply = await post(GENERATE, {"prompt": "cafe", "n": 2, "beam_width": 4})
    first, second = reply.json()["choices"]
    assert first["text"] == expected("cafe", width=4)["text"]
    assert second["text"] != first["text"]
    read = msgspec.json.decode(reply.content, type=GenerateReply)
    assert msgspec.to_builtins(read) == reply.json()


@pytest.mark.parametrize(
    ("path", "body", "param"),
    [
        (GENERATE, {"prompt": "cafe", "stream": True, "beam_width": 2}, "beam_width"),
        (GENERATE, {"prompt": "cafe", "stream": True, "length_penalty": 1}, "length_penalty"),
        (GENERATE, {"prompt": "cafe", "beam_width": 17}, "beam_width"),
        (GENERATE, {"prompt": "cafe", "beam_width": 0}, "beam_width"),
        (GENERATE, {"prompt": "cafe", "n": 4}, "n"),
        (GENERATE, {}, "prompt"),
        (PREDICT, {"inputs": ["cafe"], "beam_width": 17}, "beam_width"),
        (PREDICT, {"inputs": ["cafe"], "length_penalty": -1}, "length_penalty"),
        ("/v1/models/parity/predict", {"inputs": ["a"], "beam_width": 1}, "beam_width"),
        ("/v1/models/babble/generate", {"prompt": "a", "beam_width": 1}, "beam_width"),
    ],
)
async def test_what_cannot_be_is_refused_by_the_fields_name(
    path: str, body: dict[str, Any], param: str
):
    reply = await post(path, body)
    assert reply.status_code == 422
    assert reply.json()["error"]["param"] == param


async def test_tensors_are_read_and_answered():
    sources, lengths = np.array([*ids("cafe"), *ids("bad")]), np.array([4, 3])
    body = dump(Tensors({"inputs": sources, "lengths": lengths}, {"beam_width": "2"}))
    headers = {"Content-Type": MEDIA_TYPE, "Accept": MEDIA_TYPE}
    tensors = load((await post(PREDICT, body, **headers)).content)
    told = [expected(text, width=2) for text in ("cafe", "bad")]
    assert json.loads(tensors.metadata["texts"]) == [one["text"] for one in told]
    assert tensors.arrays["score"].tolist() == [one["score"] for one in told]
    assert tensors.arrays["steps"].tolist() == [4, 3]


async def test_a_failed_source_has_no_text_among_the_tensors():
    headers = {"Accept": MEDIA_TYPE}
    tensors = load((await post(PREDICT, {"inputs": ["?", "bad"]}, **headers)).content)
    assert json.loads(tensors.metadata["texts"]) == [None, expected("bad")["text"]]
    assert tensors.arrays["failed"].tolist() == [True, False]


async def test_the_models_page_says_what_it_reads_and_how_it_searches():
    async with client() as connected:
        reply = await connected.get("/v1/models/babel")
        refused = await connected.post("/v1/models/babel/sessions")
    page = reply.json()
    assert page["task"] == "seq2seq"
    assert page["output"]["search"] == {"beam_width": 3, "length_penalty": 0.6, "max_tokens": 12}
    assert [tensor["name"] for tensor in page["inputs"]] == ["tokens"]
    assert [tensor["name"] for tensor in page["outputs"]] == ["logits", "attention"]
    assert page["encoder"]["memory"]["shape"] == ["batch", "time", 8]
    assert page["memory"]["features"] == 8
    assert msgspec.to_builtins(msgspec.json.decode(reply.content, type=ModelReply)) == page
    assert refused.status_code == 422
    assert refused.json()["error"]["code"] == "model_has_no_state"

"""The same requests in tensors as in JSON, with the same answers in either."""

import asyncio
import json
from typing import Any

import httpx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from service.dataplane.types import (
    Chunk,
    Feed,
    Forecast,
    Prediction,
    Predictions,
    Quantiles,
    StepReply,
)
from service.protocols.native import binary, render
from service.protocols.reply import to_json
from service.protocols.tensors import MEDIA_TYPE, Tensors, dump, load
from tests.service.protocols.fakes import FakeDataPlane
from tests.service.protocols.serving import client_of, make_app

PREDICT = "/v1/models/sums/predict"
STEPS = "/v1/sessions/mine/steps"
MANY = "/v1/sessions:step"
TENSORS = {"Content-Type": MEDIA_TYPE}
IN_TENSORS = TENSORS | {"Accept": MEDIA_TYPE}

ROWS = np.array([[1, 2], [3, 4], [5, 6]], np.float32)


def body(arrays: dict[str, Any], **metadata: str) -> bytes:
    return dump(Tensors({name: np.array(array) for name, array in arrays.items()}, metadata))


async def send(path: str, content: bytes, headers: dict[str, str] = TENSORS) -> httpx.Response:
    async with client_of(make_app(FakeDataPlane())) as client:
        for name in ("mine", "other"):
            await client.post("/v1/models/sums/sessions", json={"session_id": name})
        return await client.post(path, content=content, headers=headers)


def answer(reply: httpx.Response) -> Tensors:
    assert reply.status_code == 200, reply.text
    assert reply.headers["content-type"] == MEDIA_TYPE
    return load(reply.content)


async def test_ragged_sequences_stand_one_after_the_other():
    content = body({"inputs": ROWS, "lengths": [2, 1]})
    reply = await send(PREDICT, content)
    assert [row["forecast"] for row in reply.json()["predictions"]] == [[[4, 6]], [[5, 6]]]
    tensors = answer(await send(PREDICT, content, IN_TENSORS))
    assert tensors.arrays["forecast"].dtype == np.float32
    assert tensors.arrays["forecast"].tolist() == [[[4, 6]], [[5, 6]]]
    assert tensors.arrays["steps"].tolist() == [2, 1]
    assert tensors.metadata == {"model": "sums", "version": "3"}


async def test_without_lengths_there_is_one_sequence():
    tensors = answer(await send(PREDICT, body({"inputs": ROWS}), IN_TENSORS))
    assert tensors.arrays["forecast"].tolist() == [[[9, 12]]]


@pytest.mark.parametrize("dtype", ["<f8", "<f4", "<f2", "<i8", "<i4", "u1"])
async def test_numbers_of_any_kind_are_read(dtype: str):
    reply = await send(PREDICT, body({"inputs": ROWS.astype(dtype)}))
    assert reply.json()["predictions"][0]["forecast"] == [[9, 12]]


async def test_tensors_are_answered_to_a_request_in_json_as_well():
    content = json.dumps({"inputs": [ROWS.tolist()]}).encode()
    tensors = answer(await send(PREDICT, content, {"Accept": MEDIA_TYPE}))
    assert tensors.arrays["forecast"].tolist() == [[[9, 12]]]


async def test_a_sequence_that_fails_is_nan_and_its_error_is_told_by_its_place():
    content = body({"inputs": ROWS, "lengths": [2, 0, 1]})
    async with client_of(make_app(FakeDataPlane())) as client:
        bad = json.dumps({"inputs": [[[1, 2]], [[1]]]}).encode()
        reply = await client.post(PREDICT, content=bad, headers={"Accept": MEDIA_TYPE})
    tensors = answer(reply)
    assert tensors.arrays["failed"].tolist() == [False, True]
    assert np.isnan(tensors.arrays["forecast"][1]).all()
    assert tensors.arrays["forecast"][0].tolist() == [[1, 2]]
    error = json.loads(tensors.metadata["errors"])["1"]["error"]
    assert error["code"] == "invalid_input"
    assert (await send(PREDICT, content)).status_code == 200


async def test_a_request_in_which_everything_fails_has_the_first_errors_status_in_json():
    reply = await send(PREDICT, body({"inputs": [[1.0]]}), IN_TENSORS)
    assert reply.status_code == 422
    assert reply.json()["error"]["param"] == "inputs"


async def test_raw_outputs_come_one_after_the_other_with_their_lengths():
    content = body({"inputs": ROWS, "lengths": [2, 1]}, raw="true")
    tensors = answer(await send(PREDICT, content, IN_TENSORS))
    assert tensors.arrays["outputs.forecast"].tolist() == [[[4, 6]], [[5, 6]]]
    assert tensors.arrays["outputs.forecast.lengths"].tolist() == [1, 1]


def in_bands(total: float) -> Prediction:
    values = np.array([total - 1, total, total + 1], np.float32).reshape(3, 1, 1)
    return Prediction(Forecast(values[1], Quantiles((0.1, 0.5, 0.9), values)), 2)


def test_quantiles_are_by_their_shares_in_json_and_in_tensors():
    result = Predictions("bands", 1, [in_bands(2), in_bands(7)])
    (first, _) = json.loads(to_json(render.predictions(result)))["predictions"]
    assert first == {
        "forecast": [[2.0]],
        "quantiles": {"0.1": [[1.0]], "0.5": [[2.0]], "0.9": [[3.0]]},
    }
    tensors = binary.predictions(result)
    assert tensors is not None
    assert tensors.arrays["forecast"].tolist() == [[[2]], [[7]]]
    assert tensors.arrays["quantiles"][:, :, 0, 0].tolist() == [[1, 2, 3], [6, 7, 8]]
    assert json.loads(tensors.metadata["quantiles"]) == [0.1, 0.5, 0.9]


async def test_explanations_come_one_after_the_other_with_their_lengths():
    content = body({"inputs": ROWS, "lengths": [2, 1]}, explain="true")
    tensors = answer(await send(PREDICT, content, IN_TENSORS))
    assert tensors.arrays["attention"].tolist() == [0, 1, 1]
    assert tensors.arrays["attention.lengths"].tolist() == [2, 1]


async def test_a_step_in_tensors_is_the_step_in_json_and_its_retry_is_told():
    async with client_of(make_app(FakeDataPlane())) as client:
        await client.post("/v1/models/sums/sessions", json={"session_id": "mine"})
        content = body({"inputs": ROWS}, step="0")
        first = await client.post(STEPS, content=content, headers=IN_TENSORS)
        again = await client.post(STEPS, content=content, headers=IN_TENSORS)
        as_json = await client.post(STEPS, json={"inputs": ROWS.tolist(), "step": 0})
    tensors = answer(first)
    assert tensors.arrays["step"].tolist() == [3]
    assert tensors.arrays["expires_at"].tolist() == [1_767_225_600.0 + 601]
    assert tensors.arrays["replayed"].tolist() == [False]
    assert tensors.metadata == {"session_ids": "mine"}
    assert answer(again).arrays["replayed"].tolist() == [True]
    assert again.headers["recur-replayed"] == as_json.headers["recur-replayed"] == "true"
    assert as_json.json()["step"] == 3


async def test_many_sessions_step_in_one_request_of_tensors():
    arrays = {"inputs": ROWS, "lengths": [1, 2], "steps": [-1, 0]}
    content = body(arrays, session_ids="mine,other")
    tensors = answer(await send(MANY, content, IN_TENSORS))
    assert tensors.arrays["step"].tolist() == [1, 2]
    assert tensors.arrays["forecast"].tolist() == [[[1, 2]], [[8, 10]]]
    assert tensors.metadata["session_ids"] == "mine,other"
    reply = await send(MANY, content)
    assert [row["step"] for row in reply.json()["results"]] == [1, 2]


async def test_a_chunk_that_fails_has_no_step():
    content = body({"inputs": ROWS, "lengths": [1, 2]}, session_ids="mine,nobody")
    tensors = answer(await send(MANY, content, IN_TENSORS))
    assert tensors.arrays["step"].tolist() == [1, -1]
    assert np.isnan(tensors.arrays["expires_at"][1])
    assert json.loads(tensors.metadata["errors"])["1"]["error"]["code"] == "session_not_found"


@pytest.mark.parametrize(
    ("path", "content", "status", "param"),
    [
        (PREDICT, b"", 400, "header"),
        (PREDICT, b'{"inputs": [[[1, 2]]]}', 400, "header"),
        (PREDICT, body({}), 400, "inputs"),
        (PREDICT, body({"inputs": ROWS, "input": ROWS}), 400, "input"),
        (PREDICT, body({"inputs": ROWS}, row="true"), 400, "row"),
        (PREDICT, body({"inputs": ROWS}, step="1"), 400, "step"),
        (PREDICT, body({"inputs": ROWS}, raw="maybe"), 422, "raw"),
        (PREDICT, body({"inputs": ROWS}, deadline_ms="-1"), 422, "deadline_ms"),
        (PREDICT, body({"inputs": ROWS}, deadline_ms="soon"), 422, "deadline_ms"),
        (PREDICT, body({"inputs": ROWS[0, 0]}), 422, "inputs"),
        (PREDICT, body({"inputs": ROWS[None]}), 422, "inputs"),
        (PREDICT, body({"inputs": ROWS > 1}), 422, "inputs"),
        (PREDICT, body({"inputs": ROWS, "lengths": [1]}), 422, "lengths"),
        (PREDICT, body({"inputs": ROWS, "lengths": [4, -1]}), 422, "lengths"),
        (PREDICT, body({"inputs": ROWS, "lengths": [1.0, 2.0]}), 422, "lengths"),
        (PREDICT, body({"inputs": ROWS, "lengths": [[1, 2]]}), 422, "lengths"),
        (STEPS, body({"inputs": ROWS, "lengths": [3]}), 400, "lengths"),
        (STEPS, body({"inputs": ROWS}, step="-1"), 422, "step"),
        (STEPS, body({"inputs": ROWS}, step="7"), 409, "step"),
        (MANY, body({"inputs": ROWS, "lengths": [1, 2]}, session_ids="mine"), 422, "session_ids"),
        (MANY, body({"inputs": ROWS, "steps": [0, 1]}, session_ids="mine"), 422, "steps"),
        (MANY, body({"inputs": ROWS, "steps": [-2]}, session_ids="mine"), 422, "steps"),
        (MANY, body({"inputs": ROWS}), 404, "session_id"),
    ],
)
async def test_each_mistake_has_its_status_and_its_place(
    path: str, content: bytes, status: int, param: str
):
    reply = await send(path, content, IN_TENSORS)
    assert reply.headers["content-type"] == "application/json"
    assert (reply.status_code, reply.json()["error"]["param"]) == (status, param)


async def test_routes_that_read_only_json_say_so():
    reply = await send("/v1/models/sums/generate", body({"inputs": ROWS}))
    assert reply.status_code == 415
    assert reply.json()["error"]["details"]["accepted"] == ["application/json"]


ANY_ARRAYS = st.dictionaries(
    st.sampled_from(["inputs", "lengths", "steps", "more"]),
    hnp.arrays(
        st.sampled_from(["<f4", "<f8", "<i8", "<u8", "?"]),
        hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=3),
    ),
)
ANY_METADATA = st.dictionaries(
    st.sampled_from(["raw", "step", "deadline_ms", "session_ids", "more"]),
    st.sampled_from(["", "true", "0", "1", "-1", "1e400", "nan", "mine", "mine,mine", "é"]),
)


@settings(deadline=None, max_examples=60)
@given(
    content=st.binary(max_size=60)
    | st.builds(lambda arrays, more: dump(Tensors(arrays, more)), ANY_ARRAYS, ANY_METADATA),
    path=st.sampled_from([PREDICT, STEPS, MANY]),
)
def test_no_tensors_whatsoever_are_the_servers_fault(content: bytes, path: str):
    reply = asyncio.run(send(path, content, IN_TENSORS))
    assert reply.status_code < 500


def test_answers_with_and_without_raw_outputs_have_no_common_form():
    def feed(outputs: dict[str, np.ndarray] | None) -> Feed:
        prediction = Prediction(Forecast(np.zeros((1, 1), np.float32)), 1, outputs)
        return Feed(StepReply("s", 1, prediction, 0.0), replayed=False)

    chunks = [Chunk("a", np.zeros((1, 1)), None, True), Chunk("b", np.zeros((1, 1)), None, False)]
    raw = feed({"total": np.zeros((1, 1), np.float32)})
    assert binary.feeds(chunks, [raw, feed(None)]) is None


async def test_an_unknown_id_with_a_comma_is_one_id_in_the_answer():
    steps = [{"session_id": name, "inputs": [[1, 2]]} for name in ("mine", "a,b", "é%2C")]
    reply = await send(MANY, json.dumps({"steps": steps}).encode(), {"Accept": MEDIA_TYPE})
    tensors = answer(reply)
    assert tensors.metadata["session_ids"] == "mine,a%2Cb,%C3%A9%252C"
    assert tensors.arrays["failed"].tolist() == [False, True, True]
    again = body(
        {"inputs": ROWS, "lengths": [1, 1, 1]}, session_ids=tensors.metadata["session_ids"]
    )
    repeated = answer(await send(MANY, again, IN_TENSORS))
    assert repeated.metadata["session_ids"] == tensors.metadata["session_ids"]
    assert "'a,b'" in repeated.metadata["errors"]


@pytest.mark.parametrize(
    ("path", "param", "metadata"),
    [(PREDICT, "inputs", {}), (MANY, "steps", {"session_ids": "mine"})],
)
async def test_too_many_sequences_are_refused_before_one_of_them_is_looked_at(
    path: str, param: str, metadata: dict[str, str]
):
    content = body({"inputs": ROWS, "lengths": np.ones(1025, np.int8)}, **metadata)
    reply = await send(path, content)
    error = reply.json()["error"]
    assert (reply.status_code, error["code"], error["param"]) == (413, "too_large", param)
    assert error["details"] == {"limit": 1024}
    assert "1025 sequences; RECUR_MAX_SEQUENCES" in error["message"]


async def test_an_id_that_is_longer_than_any_is_invalid():
    reply = await send(MANY, body({"inputs": ROWS}, session_ids="a" * 1025))
    assert (reply.status_code, reply.json()["error"]["param"]) == (422, "session_ids")

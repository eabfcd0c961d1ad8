"""An explanation is told where it is asked for, by models that have one."""

import json

import numpy as np
import pytest

from service.dataplane.types import Attention, Prediction
from service.errors import InvalidInput, RecurError
from service.protocols.native import binary, render
from service.protocols.reply import to_json
from tests.service.dataplane.serving import call, serving


def attention(result: Prediction | RecurError) -> Attention:
    assert isinstance(result, Prediction), result
    assert result.attention is not None
    return result.attention


async def test_each_sequence_is_told_of_its_own_steps_and_of_no_padding():
    async with serving() as it:
        predictions = await it.plane.predict(
            "parity", ["abcd", np.array([7]), "xyz"], call=call(), explain=True
        )
    first, single, last = map(attention, predictions.results)
    np.testing.assert_array_equal(first.weights, [[0.25] * 4, [0, 0, 0, 1]])
    np.testing.assert_array_equal(single.weights, [[1], [1]])
    assert first.tokens == ["a", "b", "c", "d"]
    assert last.tokens == ["x", "y", "z"]
    np.testing.assert_allclose(last.weights.sum(axis=1), 1, rtol=1e-6)


async def test_who_does_not_ask_gets_the_same_answer_without_it():
    async with serving() as it:
        asked, plain = [
            await it.plane.predict("parity", ["abc"], call=call(), explain=explain)
            for explain in (True, False)
        ]
    (with_it,), (without) = render.predictions(asked)["predictions"], render.predictions(plain)
    assert with_it.pop("attention")
    assert to_json(with_it) == to_json(without["predictions"][0])


async def test_a_sequence_that_fails_has_none_and_the_others_have():
    async with serving() as it:
        predictions = await it.plane.predict("parity", ["ab", ""], call=call(), explain=True)
    told, failed = json.loads(to_json(render.predictions(predictions)))["predictions"]
    assert told["attention"] == {"weights": [[0.5, 0.5], [0, 1]], "tokens": ["a", "b"]}
    assert failed.keys() == {"error"}


@pytest.mark.parametrize("model", ["babble", "running-total", "stress"])
async def test_a_model_that_cannot_tell_says_so_by_the_name_of_the_field(model: str):
    async with serving() as it:
        with pytest.raises(InvalidInput) as refused:
            await it.plane.predict(model, ["a"], call=call(), explain=True)
    assert refused.value.param == "explain"


async def test_tensors_hold_the_weights_of_all_sequences_one_after_the_other():
    async with serving() as it:
        predictions = await it.plane.predict("parity", ["ab", "c"], call=call(), explain=True)
    tensors = binary.predictions(predictions)
    assert tensors is not None
    assert tensors.arrays["attention.lengths"].tolist() == [2, 1]
    np.testing.assert_array_equal(tensors.arrays["attention"], [[0.5, 0], [0.5, 1], [1, 1]])

"""What crosses between two processes arrives as it was sent."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from service.dataplane.types import Call
from service.errors import InvalidInput, QueueFull, RecurError, StepMismatch
from service.remote.messages import Ask, Failure, Result, dumps, loads

dtypes = st.sampled_from([np.dtype(name) for name in ("int64", "int32", "float32", "float64")])
any_array = arrays.arrays(dtypes, arrays.array_shapes(min_dims=0, max_dims=3, min_side=0))


def sent(value: Any) -> Any:
    (message,) = loads(dumps([Result(1, value)]))
    assert isinstance(message, Result)
    return message.value


@given(any_array)
def test_an_array_keeps_its_numbers_its_shape_and_its_type(array: np.ndarray) -> None:
    seen = sent({"a": [array]})["a"][0]
    assert (seen.dtype, seen.shape) == (array.dtype, array.shape)
    assert seen.tobytes() == array.tobytes()


def test_an_array_that_is_not_contiguous_keeps_its_order() -> None:
    array = np.arange(12).reshape(3, 4).T[::2]
    np.testing.assert_array_equal(sent(array), array)


@pytest.mark.parametrize(
    "error",
    [
        InvalidInput("wrong", param="inputs[3]", details={"max": 5}),
        StepMismatch("elsewhere", param="step", details={"expected_step": 7}),
        QueueFull("full", retry_after_seconds=3.5, details={"limit": 1}),
    ],
)
def test_an_error_keeps_what_a_client_is_told(error: RecurError) -> None:
    (message,) = loads(dumps([Failure(1, error)]))
    assert isinstance(message, Failure)
    seen = message.error
    assert type(seen) is type(error)
    assert vars(seen) == vars(error)
    assert str(seen) == str(error)


def test_a_call_keeps_who_asks_until_when_and_how_urgently() -> None:
    call = Call("ann", "native", 12.5, "high")
    ask = Ask(3, "predict", ("m", [np.array([1, 2])]), {"call": call, "raw": True})
    (seen,) = loads(dumps([ask]))
    assert isinstance(seen, Ask)
    assert seen.named == {"call": call, "raw": True}
    assert call.flow.weight == 4.0

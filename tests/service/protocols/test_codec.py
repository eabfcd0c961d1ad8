"""Sequences: what becomes an array, and what fails alone with its place named."""

import json
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from service.dataplane.types import GenerateRequest, OpenRequest, SequenceInput
from service.errors import ClientError, InvalidInput, MalformedRequest, TooLarge
from service.protocols.body import BodyDecoder
from service.protocols.native.codec import read_generate, read_open, read_sequence
from service.protocols.native.schemas import GenerateBody, OpenBody
from service.protocols.reply import to_json


def read(text: str | bytes) -> SequenceInput:
    raw = msgspec.Raw(text if isinstance(text, bytes) else text.encode())
    return read_sequence(raw, "inputs[1]")


def test_text_stays_text():
    assert read('"To be, \\u00e9"') == "To be, é"


def test_integers_are_token_ids():
    ids = read("[20, 43, 1]")
    assert isinstance(ids, np.ndarray)
    assert ids.dtype == np.int64
    assert ids.tolist() == [20, 43, 1]


def test_lists_of_numbers_are_rows_of_features():
    rows = read("[ [1, 2.5],\n [-3e2, 0] ]")
    assert isinstance(rows, np.ndarray)
    assert rows.dtype == np.float32
    assert rows.tolist() == [[1.0, 2.5], [-300.0, 0.0]]


def test_a_flat_list_is_token_ids_or_where_one_number_is_not_whole_samples():
    ids, samples = read("[1, 2]"), read("[1, -0.5, 1e-3]")
    assert isinstance(ids, np.ndarray)
    assert (ids.dtype, ids.tolist()) == (np.int64, [1, 2])
    assert isinstance(samples, np.ndarray)
    assert samples.dtype == np.float32
    np.testing.assert_array_equal(samples, np.array([1, -0.5, 1e-3], np.float32))
    many = np.linspace(-1, 1, 50_001).round(6)
    long = read(str(many.tolist()))
    assert isinstance(long, np.ndarray)
    np.testing.assert_array_equal(long, many.astype(np.float32))


@pytest.mark.parametrize(
    ("text", "param"),
    [
        ('""', "inputs[1]"),
        ("[]", "inputs[1]"),
        ("[[]]", "inputs[1]"),
        ("[[], []]", "inputs[1]"),
        ("[[1], []]", "inputs[1][1]"),
        ("[[1, 2], [3]]", "inputs[1][1]"),
        ("[[1, 2], 3]", "inputs[1][1]"),
        ("[1, [2]]", "inputs[1][1]"),
        ("[1, true]", "inputs[1][1]"),
        ("[1.5, true]", "inputs[1][1]"),
        ("[0.5, 1e39]", "inputs[1][1]"),
        ("[[true]]", "inputs[1][0][0]"),
        ("[[1], [null]]", "inputs[1][1][0]"),
        ('[["1"]]', "inputs[1][0][0]"),
        ('["a"]', "inputs[1][0]"),
        ("[[[1]]]", "inputs[1]"),
        ("[" * 500 + "]" * 500, "inputs[1]"),
        ("null", "inputs[1]"),
        ("true", "inputs[1]"),
        ("1", "inputs[1]"),
        ("{}", "inputs[1]"),
        ("[9223372036854775808]", "inputs[1]"),
        ("[99999999999999999999999]", "inputs[1]"),
        ("[[1e999]]", "inputs[1][0][0]"),
        ("[[1], [1e39]]", "inputs[1][1][0]"),
    ],
)
def test_a_sequence_that_cannot_be_read_is_an_error_in_its_place(text: str, param: str):
    error = read(text)
    assert type(error) is InvalidInput
    assert error.param == param
    assert error.message.startswith(param)


@pytest.mark.parametrize("text", [b'"\xff"', b"[NaN]", b"[1,]", b"[1"])
def test_bytes_that_are_not_json_condemn_the_whole_request(text: bytes):
    with pytest.raises(MalformedRequest) as caught:
        read(text)
    assert caught.value.param == "inputs[1]"


FLOATS = hnp.arrays(
    np.float32,
    st.tuples(st.integers(1, 5), st.integers(1, 4)),
    elements=st.floats(allow_nan=False, allow_infinity=False, width=32),
)


@given(FLOATS)
def test_every_float32_reads_back_as_itself(array: np.ndarray):
    for written in (array, np.asfortranarray(array), array[::-1]):
        rows = read(to_json(written))
        assert isinstance(rows, np.ndarray)
        assert rows.tobytes() == np.ascontiguousarray(written).tobytes()


@given(
    values=st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=1),
    num_rows=st.integers(3_000, 30_000),
    space=st.sampled_from(["", " ", "\n\t "]),
)
@settings(max_examples=10, deadline=None)
def test_a_long_sequence_is_read_as_a_short_one_is(values: list[float], num_rows: int, space: str):
    row = f"[{f'{space},{space}'.join(map(repr, values))}]"
    rows = read(f"[{space}{f'{space},{space}'.join([row] * num_rows)}{space}]")
    assert isinstance(rows, np.ndarray)
    assert rows.shape == (num_rows, len(values))
    assert (rows == np.array(values, np.float32)).all()


def test_a_long_list_of_ids_is_read_whole():
    ids = read("[" + ",".join(map(str, range(100_000))) + "]")
    assert isinstance(ids, np.ndarray)
    assert (ids == np.arange(100_000)).all()


@pytest.mark.parametrize(
    ("item", "wrong", "param"),
    [
        ("[1,2]", "[1]", "inputs[1][60000]"),
        ("[1,2]", "[1,null]", "inputs[1][60000][1]"),
        ("[1,2]", '"],["', "inputs[1][60000]"),
        ("[1,2]", "[[1,2]]", "inputs[1][60000][0]"),
        ("[1,2]", "[]", "inputs[1][60000]"),
        ("1", '"1,2"', "inputs[1][60000]"),
        ("[1,2]", "[1e39,2]", "inputs[1][60000][0]"),
        ("1", "1.5e99", "inputs[1][60000]"),
        ("1", "true", "inputs[1][60000]"),
        ("1", "9223372036854775808", "inputs[1]"),
    ],
)
def test_what_is_wrong_deep_in_a_long_sequence_is_named_as_in_a_short_one(
    item: str, wrong: str, param: str
):
    error = read("[" + ",".join([item] * 60_000 + [wrong] + [item] * 100_000) + "]")
    assert isinstance(error, InvalidInput)
    assert error.param == param


def generate(**fields: object) -> GenerateRequest:
    decoder = BodyDecoder(GenerateBody)
    return read_generate(decoder.decode(json.dumps(fields).encode(), max_sequences=1)).request


def test_a_prompt_may_be_text_or_ids_and_stop_one_string_or_several():
    request = generate(prompt=[1, 2], stop="\n", stream=True)
    assert isinstance(request.prompt, np.ndarray)
    assert request.prompt.tolist() == [1, 2]
    assert request.stop == ("\n",)
    assert request.stream
    request = generate(prompt="ROMEO:", stop=["a", "b"])
    assert (request.prompt, request.stop, request.stream) == ("ROMEO:", ("a", "b"), False)
    assert generate().prompt is generate(prompt=None).prompt is None
    assert generate(prompt="").prompt == ""


@pytest.mark.parametrize(
    ("prompt", "param"),
    [
        ([1, "a"], "prompt[1]"),
        ([1, True], "prompt[1]"),
        ([1.5], "prompt[0]"),
        ([[1]], "prompt[0]"),
        (3, "prompt"),
        ({}, "prompt"),
        ([1] * 100_000 + ["a"], "prompt[100000]"),
        ([2**63], "prompt"),
    ],
)
def test_a_prompt_that_is_neither_text_nor_ids_is_refused_in_its_place(prompt: Any, param: str):
    with pytest.raises(ClientError) as caught:
        generate(prompt=prompt)
    assert caught.value.param == param


def test_a_long_prompt_of_ids_is_read_whole():
    prompt = generate(prompt=[*range(100_000)]).prompt
    assert isinstance(prompt, np.ndarray)
    assert (prompt == np.arange(100_000)).all()


def opened(body: bytes) -> OpenRequest:
    return read_open(BodyDecoder(OpenBody).decode(body, max_sequences=1))


def test_a_state_may_have_any_rank_up_to_four():
    state = opened(b'{"initial_state": {"h": [[1, 2]], "c": [3], "s": 1.5}}').initial_state
    assert state is not None
    assert {name: tensor.shape for name, tensor in state.items()} == {
        "h": (1, 2),
        "c": (1,),
        "s": (),
    }


def test_a_state_tensor_of_more_than_a_megabyte_is_refused_unread():
    with pytest.raises(TooLarge) as caught:
        opened(b'{"initial_state": {"h": [[' + b"1," * 600_000 + b'"no number"]]}}')
    assert caught.value.param == "initial_state.h"
    assert caught.value.details == {"limit": 1 << 20}


@pytest.mark.parametrize("value", ["[[1], [2, 3]]", '["1"]', "[true]", "[]", "[[[[[1]]]]]", "null"])
def test_a_state_that_is_no_tensor_of_numbers_is_refused_by_name(value: str):
    with pytest.raises(InvalidInput) as caught:
        opened(f'{{"initial_state": {{"h": {value}}}}}'.encode())
    assert caught.value.param is not None
    assert caught.value.param.startswith("initial_state.h")

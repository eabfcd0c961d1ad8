"""Bodies: what is read, what is refused, and what a refusal names."""

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.errors import InvalidInput, MalformedRequest, RecurError, TooLarge
from service.protocols.body import BodyDecoder
from service.protocols.native.schemas import GenerateBody, OpenBody, PredictBody, StepsBody

GENERATE = BodyDecoder(GenerateBody)


def refusal(decoder: BodyDecoder[Any], body: bytes) -> RecurError:
    with pytest.raises(RecurError) as caught:
        decoder.decode(body, max_sequences=1024)
    return caught.value


@pytest.mark.parametrize(
    ("body", "param"),
    [
        (b"", None),
        (b"null", None),
        (b"[]", None),
        (b"3", None),
        (b'{"prompt": "a"', None),
        (b'{"prompt": "a"} x', None),
        (b'{"stop": "\xff"}', None),
        (b'{"temperature": NaN}', "temperature"),
        (b'{"temperature": -Infinity}', "temperature"),
        (b"[" * 100_000, None),
        (b'{"zebra": 1}', "zebra"),
        (b'{"temperature": "hot"}', "temperature"),
        (b'{"temperature": true}', "temperature"),
        (b'{"n": 1.5}', "n"),
        (b'{"n": null}', "n"),
        (b'{"stream": 1}', "stream"),
        (b'{"stop": ["a", 1]}', "stop[1]"),
        (b'{"n": 1, "n": 2}', "n"),
    ],
)
def test_what_is_not_of_the_shape_is_malformed_and_named(body: bytes, param: str | None):
    error = refusal(GENERATE, body)
    assert type(error) is MalformedRequest
    assert error.param == param


@pytest.mark.parametrize(
    ("body", "param", "details"),
    [
        (b'{"temperature": -0.1}', "temperature", {"min": 0.0}),
        (b'{"top_p": 0}', "top_p", {"exclusive_min": 0.0}),
        (b'{"top_p": 1.01}', "top_p", {"max": 1.0}),
        (b'{"n": 0}', "n", {"min": 1}),
        (b'{"max_tokens": 0}', "max_tokens", {"min": 1}),
        (b'{"deadline_ms": 0}', "deadline_ms", {"exclusive_min": 0.0}),
        (b'{"repetition_penalty": 0}', "repetition_penalty", {"exclusive_min": 0.0}),
        (b'{"seed": 99999999999999999999999}', "seed", {"max": 2**63 - 1}),
        (b'{"stop": ""}', "stop", {"min_length": 1}),
        (b'{"stop": ["a", ""]}', "stop[1]", {"min_length": 1}),
        (b'{"temperature": 1e999}', "temperature", {}),
    ],
)
def test_what_is_out_of_range_is_invalid_and_its_limit_is_told(
    body: bytes, param: str, details: dict[str, Any]
):
    error = refusal(GENERATE, body)
    assert type(error) is InvalidInput
    assert (error.param, error.details) == (param, details)


def test_a_missing_field_is_named():
    error = refusal(BodyDecoder(PredictBody), b"{}")
    assert type(error) is MalformedRequest
    assert error.param == "inputs"


def test_no_sequence_at_all_is_invalid():
    error = refusal(BodyDecoder(PredictBody), b'{"inputs": []}')
    assert type(error) is InvalidInput
    assert (error.param, error.details) == ("inputs", {"min_length": 1})


@pytest.mark.parametrize("session_id", ["", "a/b", "..", "ä", "a b", "x" * 129])
def test_a_session_id_that_cannot_stand_in_a_url_is_invalid(session_id: str):
    error = refusal(BodyDecoder(OpenBody), f'{{"session_id": "{session_id}"}}'.encode())
    assert type(error) is InvalidInput
    assert error.param == "session_id"
    assert "pattern" in error.details


def test_a_name_twice_is_found_in_inner_objects_and_not_taken_for_one_in_another_object():
    decoder = BodyDecoder(OpenBody)
    fine = b'{"metadata": {"session_id": "x", "note": "\\"session_id\\":"}, "session_id": "y"}'
    assert decoder.decode(fine, max_sequences=1).session_id == "y"
    twice = b'{"metadata": {"fork_of": "x", "fork_of": "y"}}'
    assert refusal(decoder, twice).param == "fork_of"


def test_an_empty_body_may_stand_for_an_empty_object():
    assert BodyDecoder(OpenBody, empty=b"{}").decode(b"", max_sequences=1) == OpenBody()


@given(st.binary())
def test_no_bytes_make_anything_but_a_value_or_a_refusal(body: bytes):
    with suppress(MalformedRequest, InvalidInput):
        GENERATE.decode(body, max_sequences=1)


PREDICT = BodyDecoder(PredictBody, sequences="inputs")
STEPS = BodyDecoder(StepsBody, sequences="steps")
CHUNK = b'{"session_id": "a", "inputs": "{ \\"step\\": \\"step\\": "}'


@pytest.mark.parametrize("length", [1, 50_000], ids=["short", "long"])
@pytest.mark.parametrize("field", ["session_id", "inputs", "step", "raw"])
def test_a_name_twice_in_one_of_many_chunks_is_refused_by_its_place(field: str, length: int):
    values = {"session_id": b'"a"', "inputs": b"[1%b]" % (b",1" * length)}
    values |= {"step": b"1", "raw": b"true"}
    fields = [b'"%b":%b' % (name.encode(), value) for name, value in values.items()]
    again = b'"%b":%b' % (field.encode(), values[field])
    body = b'{"steps": [%b, {%b, %b}, %b]}' % (CHUNK, b",".join(fields), again, CHUNK)
    error = refusal(STEPS, body)
    assert type(error) is MalformedRequest
    assert error.param == f"steps[1].{field}"


def test_the_same_names_in_many_chunks_are_fine():
    one = b'{"session_id": "a", "step": 1, "inputs": [1], "raw": false}'
    body = b'{"steps": [%b], "deadline_ms": 5}' % b",".join([one, CHUNK, one])
    steps = STEPS.decode(body, max_sequences=3).steps
    assert [chunk.step for chunk in steps] == [1, None, 1]


def test_too_many_sequences_are_refused_before_one_of_them_is_read():
    with pytest.raises(TooLarge, match="4 sequences; RECUR_MAX_SEQUENCES allows 3") as caught:
        PREDICT.decode(b'{"inputs": [1, {}, [["x"]], ""]}', max_sequences=3)
    assert (caught.value.param, caught.value.details) == ("inputs", {"limit": 3})
    assert len(PREDICT.decode(b'{"inputs": [1, 2, 3]}', max_sequences=3).inputs) == 3


def test_far_too_many_sequences_are_refused_before_the_body_is_decoded():
    body = b'{"raw": true, "inputs": [' + b"1," * 100_000 + b"and this is no JSON"
    with pytest.raises(TooLarge, match="over 1024 sequences; RECUR_MAX_SEQUENCES") as caught:
        PREDICT.decode(body, max_sequences=1024)
    assert (caught.value.param, caught.value.details) == ("inputs", {"limit": 1024})


@pytest.mark.parametrize(
    ("shape", "body", "param"),
    [
        (GenerateBody, b'{"stop": [' + b'"a",' * 50_000 + b'"a"]}', "stop"),
        (OpenBody, b'{"metadata": {' + b'"a":"",' * 30_000 + b'"a":""}}', "metadata"),
        (OpenBody, b'{"initial_state": {' + b'"a":1,' * 30_000 + b'"a":1}}', "initial_state"),
    ],
)
def test_no_field_may_have_so_many_items_that_to_decode_them_takes_long(
    shape: type[Any], body: bytes, param: str
):
    error = refusal(BodyDecoder(shape), body)
    assert type(error) is TooLarge
    assert error.param == param


LONG = b'"' + b"a" * 200_000 + b'"'


def test_a_name_twice_is_found_in_a_long_body_and_not_taken_for_one_that_a_text_tells_of():
    twice = b'{"prompt": ' + LONG + b', "n": 1, "n": 1}'
    assert refusal(GENERATE, twice).param == "n"
    told = b'{"prompt": "' + rb"\"n\": 1, " * 20_000 + b'", "n": 2}'
    assert GENERATE.decode(told, max_sequences=1).n == 2


def test_a_long_body_that_is_no_json_is_named_like_a_short_one():
    for body in (
        LONG,
        b"{" + LONG,
        b'{"prompt": ' + LONG,
        b'{"prompt": ' + LONG + b"}}",
        b"[" * 200_000,
    ):
        assert type(refusal(GENERATE, body)) is MalformedRequest


def test_an_unknown_name_is_repeated_but_not_all_of_it():
    for length in (10, 100_000, 1_000_000):
        error = refusal(GENERATE, b'{"' + b"a" * length + b'": 1}')
        assert type(error) is MalformedRequest
        assert error.param is not None
        assert error.param.startswith("a" * 10)
        assert len(error.message) + len(error.param) < 2200


@pytest.mark.parametrize(
    ("shape", "body", "param"),
    [
        (StepsBody, b'{"steps": [{"inputs": [1], "session_id": %b}]}', "steps[0].session_id"),
        (OpenBody, b'{"fork_of": %b}', "fork_of"),
        (OpenBody, b'{"initial_state": {%b: 1}}', "initial_state"),
        (GenerateBody, b'{"stop": [%b]}', "stop[0]"),
    ],
)
def test_a_name_that_is_longer_than_any_is_invalid(shape: type[Any], body: bytes, param: str):
    error = refusal(BodyDecoder(shape), body % (b'"' + b"a" * 1025 + b'"'))
    assert type(error) is InvalidInput
    assert (error.param or "").startswith(param)
    assert error.details == {"max_length": 1024}
    BodyDecoder(shape).decode(body % (b'"' + b"a" * 1024 + b'"'), max_sequences=1)

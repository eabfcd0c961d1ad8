"""Tensors as bytes: what the format's own library writes and reads; errors name a place."""

import json
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from service.errors import MalformedRequest
from service.protocols.tensors import Tensors, dump, load

DTYPES = ["<f8", "<f4", "<f2", "<i8", "<i4", "<i2", "i1", "<u8", "<u4", "<u2", "u1", "?"]
ARRAYS = st.dictionaries(
    st.text(max_size=8).filter(lambda name: name != "__metadata__"),
    hnp.arrays(st.sampled_from(DTYPES), hnp.array_shapes(min_dims=0, max_dims=4, max_side=3)),
    max_size=4,
)
METADATA = st.dictionaries(st.text(max_size=5), st.text(max_size=5), max_size=3)


def equal(ours: dict[str, Any], theirs: dict[str, Any]) -> bool:
    return ours.keys() == theirs.keys() and all(
        ours[name].dtype == theirs[name].dtype
        and ours[name].shape == theirs[name].shape
        and ours[name].tobytes() == theirs[name].tobytes()
        for name in ours
    )


@given(ARRAYS, METADATA)
def test_what_is_written_reads_back(arrays: dict[str, Any], metadata: dict[str, str]):
    read = load(dump(Tensors(arrays, metadata)))
    assert equal(read.arrays, arrays)
    assert read.metadata == metadata


@given(ARRAYS)
def test_the_formats_own_library_reads_what_is_written(arrays: dict[str, Any]):
    assert equal(safetensors.numpy.load(dump(Tensors(arrays))), arrays)


@given(ARRAYS, METADATA)
def test_what_the_formats_own_library_writes_is_read(
    arrays: dict[str, Any], metadata: dict[str, str]
):
    # With neither, its release 0.8 writes a header that is no JSON.
    read = load(safetensors.numpy.save(arrays, metadata or None))
    assert equal(read.arrays, arrays)
    assert read.metadata == metadata


def test_any_order_of_bytes_in_memory_is_written_little_endian_and_row_by_row():
    array = np.arange(6, dtype=">f4").reshape(2, 3).T
    assert load(dump(Tensors({"a": array}))).arrays["a"].tolist() == array.tolist()


def with_header(header: Any, numbers: bytes = bytes(8)) -> bytes:
    head = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(head).to_bytes(8, "little") + head + numbers


def entry(**changes: Any) -> dict[str, Any]:
    return {"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]} | changes}


def test_the_entry_that_the_cases_change_is_right():
    assert load(with_header(entry())).arrays["a"].tolist() == [0, 0]


@pytest.mark.parametrize(
    ("data", "param", "word"),
    [
        (b"", "header", "length"),
        (bytes(7), "header", "length"),
        (b"\xff" * 8, "header", "limit"),
        ((100).to_bytes(8, "little") + b"{}", "header", "100"),
        (with_header(b"nonsense"), "header", "header"),
        (with_header(b"[]"), "header", "header"),
        (with_header(b"\xff{}"), "header", "header"),
        (with_header(b"[" * 5000), "header", "header"),
        (with_header({"__metadata__": {"a": 1}}), "__metadata__", "str"),
        (with_header({"a": 3}), "a", "object"),
        (with_header({"a": {"dtype": "F32"}}), "a", "shape"),
        (with_header(entry(more=1)), "a", "more"),
        (with_header(entry(dtype="F33")), "a.dtype", "F33"),
        (with_header(entry(shape=[-1])), "a", "0"),
        (with_header(entry(shape=[1] * 9)), "a", "8"),
        (with_header(entry(shape=[2**63])), "a", "shape[0]"),
        (with_header(entry(shape=[2**62, 2**62])), "a.data_offsets", "takes"),
        (with_header(entry(shape=[3])), "a.data_offsets", "12"),
        (with_header(entry(data_offsets=[0, 9])), "a.data_offsets", "9"),
        (with_header(entry(data_offsets=[8, 0])), "a.data_offsets", "8"),
        (with_header(entry(data_offsets=[0, 8, 16])), "a", "length"),
        (with_header(entry(), numbers=bytes(7)), "a.data_offsets", "7"),
    ],
)
def test_what_is_wrong_is_named(data: bytes, param: str, word: str):
    with pytest.raises(MalformedRequest) as caught:
        load(data)
    assert caught.value.param == param
    assert word in caught.value.message + str(caught.value.details)


@given(st.binary(max_size=200))
def test_no_bytes_whatsoever_are_more_than_malformed(data: bytes):
    for body in (data, with_header(data)):
        try:
            load(body)
        except MalformedRequest as error:
            assert error.param  # noqa: PT017 - it may also be well-formed


@given(ARRAYS, st.data())
def test_a_changed_byte_is_another_value_or_malformed(arrays: dict[str, Any], data: Any):
    body = bytearray(dump(Tensors(arrays, {"a": "b"})))
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.integers(0, len(body) - 1))
        body[place] = data.draw(st.integers(0, 255))
    try:
        for array in load(bytes(body)).arrays.values():
            array.copy()
    except MalformedRequest as error:
        assert error.param is not None  # noqa: PT017 - it may also be well-formed


ENTRY = '{"dtype": "F32", "shape": [], "data_offsets": [0, 4]}'


@pytest.mark.parametrize(
    ("header", "param"),
    [
        (f'{{"a": {ENTRY}, "b": {ENTRY}, "a": {ENTRY}}}', "a"),
        (f'{{"a": {ENTRY}, "\\u0061": {ENTRY}}}', "a"),
        (f'{{"a:b": {ENTRY}, "a:b": {ENTRY}}}', "a:b"),
        ('{"a": {"dtype": "F32", "dtype": "I32", "shape": [], "data_offsets": [0, 4]}}', "dtype"),
        (f'{{"__metadata__": {{"raw": "1", "raw": "0"}}, "a": {ENTRY}}}', "raw"),
        (f'{{"__metadata__": {{}}, "a": {ENTRY}, "__metadata__": {{}}}}', "__metadata__"),
    ],
)
def test_a_name_twice_is_refused_and_named(header: str, param: str):
    written = header.encode()
    with pytest.raises(MalformedRequest) as caught:
        load(len(written).to_bytes(8, "little") + written + bytes(4))
    assert caught.value.param == param


def test_a_colon_in_a_text_is_no_name():
    tensors = Tensors({"a:b": np.zeros(1, np.float32)}, {"x:": '"x":"y":'})
    assert load(dump(tensors)).metadata == tensors.metadata

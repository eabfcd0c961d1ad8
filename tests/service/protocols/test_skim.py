"""A look over a long body finds what a parser finds, whatever stands in it, and stops in time."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.errors import MalformedRequest
from service.protocols import skim
from service.protocols.skim import fields

MANY = 1 << 30

NAMES = st.text(max_size=5) | st.sampled_from(["inputs", 'a"b', "a\\", "[", "{,"])
LEAVES = st.none() | st.booleans() | st.floats(allow_nan=False) | st.integers() | NAMES
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NAMES, inner, max_size=4),
    max_leaves=20,
)


def number_of(value: Any) -> int:
    return max(1, len(value)) if isinstance(value, (list, dict)) else 0


def skimmed(body: bytes, *names: str, limit: int = MANY) -> list[tuple[str, int]]:
    return list(fields(body, dict.fromkeys(names, limit)))


@given(
    content=st.dictionaries(NAMES, VALUES, max_size=5),
    indent=st.sampled_from([None, 1]),
    stride=st.sampled_from([1, 2, 3, 7, 64, 1 << 16]),
)
@settings(deadline=None, max_examples=300)
def test_it_finds_the_fields_and_numbers_that_a_parser_finds(
    content: dict[str, Any], indent: int | None, stride: int
):
    body = json.dumps(content, indent=indent, ensure_ascii=False).encode()
    expected = [(name, number_of(value)) for name, value in content.items()]
    found = list(fields(body, dict.fromkeys(content, MANY), stride=stride))
    # Where a name does not fit into a stride it ends.
    assert found == expected[: len(found)]
    if stride >= 64:
        assert found == expected


@given(st.binary(max_size=60) | st.text('{}[]",:\\a1 ', max_size=40).map(str.encode))
@settings(deadline=None)
def test_it_comes_to_an_end_on_anything(rest: bytes):
    list(fields(b'{"inputs":[' + rest, {"inputs": MANY}, stride=3))


def test_it_stops_counting_one_beyond_the_limit_and_reads_no_further():
    body = b'{"raw":true,"inputs":[' + b'"a",' * 100 + b"and this is no JSON"
    found = []
    for name, number in fields(body, {"inputs": 10}):
        found.append((name, number))
        if number > 10:
            break
    assert found == [("raw", 0), ("inputs", 11)]


def test_what_is_not_to_be_counted_is_passed_over():
    assert skimmed(b'{"a":[1,2,[3,{"x":[4]}]],"b":{"c":1,"d":2}}', "b") == [("a", 0), ("b", 2)]


@pytest.mark.parametrize("item", ['"' + "a,]" * 50_000 + '"', "[" + "[1,2]," * 40_000 + "[3,4]]"])
def test_an_item_may_be_longer_than_a_stride(item: str):
    body = f'{{"inputs":[{item},{item}],"raw":true}}'.encode()
    assert skimmed(body, "inputs") == [("inputs", 2), ("raw", 0)]


def test_names_are_compared_as_they_are_meant():
    assert skimmed(b'{"inputs":1,"inp\\u0075ts":2}') == [("inputs", 0), ("inputs", 0)]


def test_what_is_nested_too_deeply_is_refused_at_once():
    depth = 3 * skim.MAX_DEPTH
    with pytest.raises(MalformedRequest, match="nested"):
        skimmed(b'{"inputs":[' + b"[" * depth + b"]" * depth + b"]}", "inputs")

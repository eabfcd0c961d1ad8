"""Data comes from the folder, the cache or the origin, and is what it was in each case."""

import pytest

from tests.training.data.origins import served
from training.data.origin import DataError


def first(parts):
    return parts[0]


def test_what_was_fetched_once_is_kept():
    with served({"a": b"text"}, b"text") as (read, cached):
        assert read(first) == "text"
        assert cached() == b"text"
        assert read(first) == "text"


def test_other_bytes_than_were_meant_are_refused_and_not_kept():
    with served({"a": b"changed"}, b"text") as (read, cached):
        with pytest.raises(DataError, match="sha256 is"):
            read(first)
        with pytest.raises(FileNotFoundError):
            cached()

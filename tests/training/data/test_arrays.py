"""Arrays are believed by their contents, wherever they come from."""

from pathlib import Path

import numpy as np
import pytest

from training.data.arrays import ArrayOrigin, Named, contents_digest, read_arrays
from training.data.origin import DataError, Fetch

NUMBERS: Named = {"b": np.arange(3, dtype=np.int16), "a": np.ones((2, 2), np.float32)}


def origin(made: Named) -> ArrayOrigin:
    def convert(fetch: Fetch) -> Named:
        return made

    return ArrayOrigin("some/numbers.npz", "https://nowhere", contents_digest(NUMBERS), convert)


def refuse(fetch: Fetch) -> Named:
    raise OSError("no network")


@pytest.fixture(autouse=True)
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RECUR_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("RECUR_CACHE_DIR", str(tmp_path / "cache"))


def test_what_was_converted_once_is_kept(tmp_path: Path):
    first = read_arrays(origin(NUMBERS))
    kept = ArrayOrigin("some/numbers.npz", "https://nowhere", contents_digest(NUMBERS), refuse)
    again = read_arrays(kept)
    assert contents_digest(first) == contents_digest(again)
    assert (tmp_path / "cache/some/numbers.npz").exists()


def test_the_digest_is_of_names_types_shapes_and_numbers_not_of_order_or_byte_order():
    swapped = {name: NUMBERS[name].astype(NUMBERS[name].dtype.newbyteorder(">")) for name in "ab"}
    assert contents_digest(swapped) == contents_digest(NUMBERS)
    for other in (
        {"b": NUMBERS["b"], "c": NUMBERS["a"]},
        {**NUMBERS, "a": NUMBERS["a"].ravel()},
        {**NUMBERS, "a": NUMBERS["a"] + 1},
        {**NUMBERS, "b": NUMBERS["b"].astype(np.int32)},
    ):
        assert contents_digest(other) != contents_digest(NUMBERS)


def test_other_arrays_than_those_meant_are_refused_and_not_kept(tmp_path: Path):
    with pytest.raises(DataError, match="https://nowhere: sha256"):
        read_arrays(origin({"a": np.zeros(1)}))
    assert not (tmp_path / "cache/some/numbers.npz").exists()


def test_an_origin_that_cannot_be_read_is_named_with_where_else_was_looked():
    with pytest.raises(DataError, match=r"neither in RECUR_DATA_DIR nor in .*cache.*no network"):
        read_arrays(ArrayOrigin("some/numbers.npz", "https://nowhere", "", refuse))

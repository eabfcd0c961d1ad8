"""A data set of numbers is its arrays: whichever way they come, the checksum is of their contents.

Looked for where texts are (see `origin`); else fetched from the origin, file by file, and converted
by the set's own function, so that what is kept is the same.
"""

import hashlib
import io
import os
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.data.origin import DataError, Fetch, cache_folder, fetch

Named = Mapping[str, NDArray[Any]]


@dataclass(frozen=True, slots=True)
class ArrayOrigin:
    """One file of arrays, and how it is made from what the origin serves."""

    path: str
    """Below the data folder and below the cache."""
    url: str
    """For people, and for the error: `convert` knows the files below it."""
    sha256: str
    """Of the arrays, as `contents_digest` takes it."""
    convert: Callable[[Fetch], Named]


def read_arrays(origin: ArrayOrigin) -> Named:
    """The arrays. Raises DataError that says where they were looked for."""
    for folder in (os.environ.get("RECUR_DATA_DIR"), cache_folder()):
        if folder and (path := Path(folder) / origin.path).exists():
            with np.load(path, allow_pickle=False) as arrays:
                return checked({name: arrays[name] for name in arrays}, origin, str(path))
    try:
        arrays = checked(origin.convert(fetch), origin, origin.url)
    except OSError as error:
        raise DataError(
            f"{origin.path} is neither in RECUR_DATA_DIR nor in {cache_folder()}, "
            f"and {origin.url} cannot be read: {error}"
        ) from error
    _keep(cache_folder() / origin.path, arrays)
    return arrays


def contents_digest(arrays: Named) -> str:
    """sha256 over name, type, shape and little-endian bytes of each array, in order of names."""
    digest = hashlib.sha256()
    for name in sorted(arrays):
        array = arrays[name]
        plain = np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
        digest.update(f"{name} {plain.dtype.str} {plain.shape}\n".encode())
        digest.update(plain.tobytes())
    return digest.hexdigest()


def checked(arrays: Named, origin: ArrayOrigin, where: str) -> Named:
    """The arrays, if they are those that are meant; else raises DataError."""
    seen = contents_digest(arrays)
    if seen != origin.sha256:
        raise DataError(f"{where}: sha256 of the arrays is {seen}, expected {origin.sha256}")
    return arrays


def _keep(path: Path, arrays: Named) -> None:
    """Written beside and renamed, so that a cut-off file is never found later."""
    path.parent.mkdir(parents=True, exist_ok=True)
    buffer = io.BytesIO()
    np.savez_compressed(buffer, allow_pickle=False, **arrays)
    with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as draft:
        draft.write(buffer.getvalue())
    os.replace(draft.name, path)  # noqa: PTH105 - the name says that it is atomic

"""A data set is its bytes: whichever way they come, the checksum is of the text itself.

Looked for in the folder that RECUR_DATA_DIR names, then in the cache, then at the origin.
"""

import hashlib
import lzma
import os
import tempfile
import urllib.request
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

_TIMEOUT_SECONDS = 60.0


Fetch = Callable[[str], bytes]
"""A URL's content."""


class DataError(Exception):
    """The data cannot be had, or is not the data that was meant."""


@dataclass(frozen=True, slots=True)
class Origin:
    """One text file of a data set, and where it comes from."""

    path: str
    """Below the data folder and below the cache, where it lies compressed with xz."""
    url: str
    sha256: str
    """Of the text as the origin serves it, or as it is made of that."""
    encoding: str = "utf-8"
    convert: Callable[[Fetch], bytes] | None = None
    """Makes the text of what lies at and below `url`; None: it is the content itself."""


def read_text(origin: Origin) -> str:
    """The file's text. Raises DataError that says where it was looked for."""
    for folder in filter(None, (_data_folder(), cache_folder())):
        if (path := folder / origin.path).exists():
            return _checked(lzma.decompress(path.read_bytes()), origin, where=str(path))
    data = _download(origin)
    text = _checked(data, origin, where=origin.url)
    _keep(cache_folder() / origin.path, lzma.compress(data))
    return text


def read_made(origin: Origin, urls: Sequence[str], make: Callable[[Sequence[bytes]], bytes]) -> str:
    """The text that `make` makes of the origin's files at `urls`; the checksum is of the text."""
    return read_text(replace(origin, convert=lambda fetch: make([fetch(url) for url in urls])))


def cache_folder() -> Path:
    """RECUR_CACHE_DIR, or `recur` in the user's cache."""
    if folder := os.environ.get("RECUR_CACHE_DIR"):
        return Path(folder)
    return Path.home() / ".cache" / "recur"


def _data_folder() -> Path | None:
    folder = os.environ.get("RECUR_DATA_DIR")
    return Path(folder) if folder else None


def _download(origin: Origin) -> bytes:
    try:
        return fetch(origin.url) if origin.convert is None else origin.convert(fetch)
    except OSError as error:
        raise DataError(
            f"{origin.path} is neither in RECUR_DATA_DIR nor in {cache_folder()}, "
            f"and {origin.url} cannot be read: {error}"
        ) from error


def fetch(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=_TIMEOUT_SECONDS) as response:
        return response.read()


def _checked(data: bytes, origin: Origin, *, where: str) -> str:
    seen = hashlib.sha256(data).hexdigest()
    if seen != origin.sha256:
        raise DataError(f"{where}: sha256 is {seen}, expected {origin.sha256}")
    return data.decode(origin.encoding)


def _keep(path: Path, data: bytes) -> None:
    """Written beside and renamed, so that a cut-off download is never found later."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as draft:
        draft.write(data)
    os.replace(draft.name, path)  # noqa: PTH105 - the name says that it is atomic

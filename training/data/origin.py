"""A data set is its bytes: whichever way they come, the checksum is of the text itself.

Looked for in the folder that RECUR_DATA_DIR names, then in the cache, then at the origin.
"""

import hashlib
import lzma
import os
import tempfile
import urllib.request
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

_TIMEOUT_SECONDS = 60.0


class DataError(Exception):
    """The data cannot be had, or is not the data that was meant."""


@dataclass(frozen=True, slots=True)
class Origin:
    """One text file of a data set, and where it comes from."""

    path: str
    """Below the data folder and below the cache, where it lies compressed with xz."""
    url: str
    sha256: str
    """Of the text as the origin serves it."""
    encoding: str = "utf-8"


def read_text(origin: Origin) -> str:
    """The file's text. Raises DataError that says where it was looked for."""
    return read_made(origin, (origin.url,), lambda parts: parts[0])


def read_made(origin: Origin, urls: Sequence[str], make: Callable[[Sequence[bytes]], bytes]) -> str:
    """The text that `make` makes of the origin's files at `urls`; the checksum is of the text."""
    for folder in filter(None, (_data_folder(), cache_folder())):
        if (path := folder / origin.path).exists():
            return _checked(lzma.decompress(path.read_bytes()), origin, where=str(path))
    data = make([_download(origin, url) for url in urls])
    text = _checked(data, origin, where=origin.url)
    _keep(cache_folder() / origin.path, lzma.compress(data))
    return text


def cache_folder() -> Path:
    """RECUR_CACHE_DIR, or `recur` in the user's cache."""
    if folder := os.environ.get("RECUR_CACHE_DIR"):
        return Path(folder)
    return Path.home() / ".cache" / "recur"


def _data_folder() -> Path | None:
    folder = os.environ.get("RECUR_DATA_DIR")
    return Path(folder) if folder else None


def _download(origin: Origin, url: str) -> bytes:
    try:
        with urllib.request.urlopen(url, timeout=_TIMEOUT_SECONDS) as response:
            return response.read()
    except OSError as error:
        raise DataError(
            f"{origin.path} is neither in RECUR_DATA_DIR nor in {cache_folder()}, "
            f"and {url} cannot be read: {error}"
        ) from error


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

"""An origin in a folder: its files have `file:` addresses; what is read is kept beside them."""

import hashlib
import lzma
import os
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from training.data.origin import Origin, read_made

Make = Callable[[Sequence[bytes]], bytes]


@contextmanager
def served(
    parts: Mapping[str, bytes], made: bytes
) -> Generator[tuple[Callable[[Make], str], Callable[[], bytes]]]:
    """How to read what is made of `parts`, and what then lies in the cache."""
    with TemporaryDirectory() as folder, _environment(RECUR_CACHE_DIR=f"{folder}/cache"):
        urls = list[str]()
        for name, data in parts.items():
            path = Path(folder, name)
            path.write_bytes(data)
            urls.append(path.as_uri())
        origin = Origin("kept/it.xz", urls[0], hashlib.sha256(made).hexdigest())
        kept = Path(folder, "cache", origin.path)
        yield (
            lambda make: read_made(origin, urls, make),
            lambda: lzma.decompress(kept.read_bytes()),
        )


@contextmanager
def _environment(**values: str) -> Generator[None]:
    """With these variables, and without RECUR_DATA_DIR."""
    before = dict(os.environ)
    os.environ.pop("RECUR_DATA_DIR", None)
    os.environ.update(values)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)

"""E-mails and their subject lines: a text of a few sentences becomes one of a few words."""

import io
import json
import re
import zipfile
from collections.abc import Iterator
from functools import partial

from training.config import DataConfig
from training.data.batches import DataFacts
from training.data.origin import Fetch, Origin, read_text
from training.data.pairs import Pair, TextPairs, split_pairs

_AESLC = "https://github.com/ryanzhumich/AESLC/archive/7afc087a1cc234d07121f0d4a2d87102ddceabc2.zip"
_HEADING = re.compile(r"\n\n@(\w+)\n")
_WORD = re.compile(r"\w+(?:['.-]\w+)*|[^\w\s]")
_WORDS_READ = 60
"""Of an e-mail's beginning: its subject is mostly told there."""


def convert(fetch: Fetch, *, split: str) -> bytes:
    """A line for each of the split's e-mails, in the order of their names."""
    with zipfile.ZipFile(io.BytesIO(fetch(_AESLC))) as archive:
        below = f"/enron_subject_line/{split}/"
        names = sorted(
            name for name in archive.namelist() if below in name and name.endswith(".subject")
        )
        lines = [
            _line(name.rpartition("/")[2].removesuffix(".subject"), archive.read(name).decode())
            for name in names
        ]
    return "".join(f"{line}\n" for line in lines).encode()


def _line(name: str, text: str) -> str:
    """A body, then `@subject` and the like over each of the other parts."""
    body, *parts = _HEADING.split(text)
    fields = {"id": name, "body": body, **dict(zip(parts[::2], parts[1::2], strict=True))}
    return json.dumps(fields, ensure_ascii=False)


def _origin(split: str, sha256: str) -> Origin:
    return Origin(
        path=f"summarisation/aeslc_{split}.jsonl.xz",
        url=_AESLC,
        sha256=sha256,
        convert=partial(convert, split=split),
    )


AESLC = (
    _origin("train", "a4fc8955b5c74a7cbe01b81e410e0bb0869af1a8440025f2e8dbe1521bb20a49"),
    _origin("dev", "74280aa871935427b949cc0ea9bd7dddd42f419c137349e603f2086631603ba6"),
    _origin("test", "81d20d1a5249e4e87394e535b7cf7964fc90c0fea88bf7063dad84bf9ac9d5fe"),
)


def aeslc(config: DataConfig, seed: int) -> TextPairs:
    """AESLC (Zhang and Tetreault 2019, arXiv 1906.03497), its own three splits."""
    facts = DataFacts(
        title="AESLC: business e-mails and their subject lines",
        source=_AESLC,
        licence="CC BY-NC-SA 4.0; e-mails of real persons (the Enron corpus)",
        splits=(),
        note=f"Lower-cased words with spaces between; the first {_WORDS_READ} of each e-mail are "
        "read. The target is the subject that its writer gave it.",
    )
    learned, held_out, tested = (list(read_mails(read_text(origin))) for origin in AESLC)
    return split_pairs(
        learned, held_out, tested, facts=facts, config=config, seed=seed, measure="rouge"
    )


def read_mails(text: str) -> Iterator[Pair]:
    for line in text.splitlines():
        mail = json.loads(line)
        yield Pair(_words(mail["body"], _WORDS_READ), (_words(mail["subject"]),))


def _words(text: str, most: int | None = None) -> str:
    found: list[str] = _WORD.findall(text.lower())
    return " ".join(found[:most])

"""What was said so far, and the reply: values of the database stand by the names of their slots."""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, cast

from training.config import DataConfig
from training.data.batches import DataFacts
from training.data.origin import Origin, read_text
from training.data.pairs import Pair, TextPairs, split_pairs

_NNDIAL = (
    "https://raw.githubusercontent.com/shawnwun/NNDIAL/740f6d34594bcdd889080ce60c95384bda7594a2"
)
CAMREST = Origin(
    path="dialogue/camrest676.jsonl.xz",
    url=f"{_NNDIAL}/data/CamRest676.json",
    sha256="bbefd193af02a89eb6e321ede663db76d752e8f3c1f231481f44445d8a04bedb",
)
CAMREST_DATABASE = Origin(
    path="dialogue/camrest_db.json.xz",
    url=f"{_NNDIAL}/db/CamRest.json",
    sha256="cc31b8e93db9b75aa95c8b72f1e2e573b3f734972a8ca6def43d8a297e410483",
)
_SLOTS = ("name", "address", "phone", "postcode", "food", "area", "pricerange")
_WORD = re.compile(r"\w+(?:'\w+)?|[^\w\s]")


def camrest676(config: DataConfig, seed: int) -> TextPairs:
    """CamRest676 (Wen et al. 2017, arXiv 1604.04562): dialogues, 3 : 1 : 1 in the file's order."""
    facts = DataFacts(
        title="CamRest676: people look for a restaurant in Cambridge",
        source=CAMREST.url,
        licence="not stated (the repository: Apache-2.0)",
        splits=(),
        note="The file is the origin's without the remark at its head, one dialogue a line; the "
        "origin's own form is refused. A source is the last reply and what the user said to it. "
        "Values of the database are replaced by the names of their slots, as the published "
        "figures have it; who serves it puts them back.",
    )
    slots = slot_of_value(json.loads(read_text(CAMREST_DATABASE)))
    dialogues = [
        list(turns(json.loads(line)["dial"], slots)) for line in read_text(CAMREST).splitlines()
    ]
    fifth = len(dialogues) // 5
    parts = (dialogues[: -2 * fifth], dialogues[-2 * fifth : -fifth], dialogues[-fifth:])
    learned, held_out, tested = ([pair for turn in part for pair in turn] for part in parts)
    return split_pairs(learned, held_out, tested, facts=facts, config=config, seed=seed)


def turns(dialogue: list[Any], slots: Mapping[str, str]) -> Iterator[Pair]:
    """One pair for each turn."""
    before = ""
    for turn in dialogue:
        said = delexicalised(turn["usr"]["transcript"], slots)
        reply = delexicalised(turn["sys"]["sent"], slots)
        if said and reply:
            yield Pair(f"{before} | {said}", (reply,))
        before = reply


def slot_of_value(database: list[Mapping[str, str]]) -> dict[str, str]:
    """`value_food` of "italian", and so on; longer values first, for they may hold shorter ones."""
    found = {
        words(entry[slot]): f"value_{slot}"
        for slot in _SLOTS
        for entry in database
        if slot in entry
    }
    return {value: found[value] for value in sorted(found, key=len, reverse=True) if value}


def delexicalised(text: str, slots: Mapping[str, str]) -> str:
    """Lower-cased words and marks with spaces between, without any value."""
    spaced = f" {words(text)} "
    for value, slot in slots.items():
        spaced = spaced.replace(f" {value} ", f" {slot} ")
    return spaced.strip()


def words(text: str) -> str:
    return " ".join(cast("list[str]", _WORD.findall(text.lower())))

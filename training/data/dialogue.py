"""What is known and was said so far, and the reply, with names of slots in the place of values."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
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
_SOUGHT = ("food", "area", "pricerange")
_ALSO = {"centre": "center", "moderate": "moderately"}
"""How people write values that the database writes otherwise."""
_MANY = 5
"""Up to so many matches are counted."""
Entry = Mapping[str, str]
_WORD = re.compile(r"\w+(?:'\w+)?|[^\w\s]")


def camrest676(config: DataConfig, seed: int) -> TextPairs:
    """CamRest676 (Wen et al. 2017, arXiv 1604.04562): dialogues, 3 : 1 : 1 in the file's order."""
    facts = DataFacts(
        title="CamRest676: people look for a restaurant in Cambridge",
        source=CAMREST.url,
        licence="not stated (the repository: Apache-2.0)",
        splits=(),
        note="The file is the origin's without the remark at its head, one dialogue a line; the "
        "origin's own form is refused. A source is what the user asks for so far (by the data's "
        "own annotation of what was said, not by a tracker), how many restaurants match it, the "
        "last reply and what the user said to it: `food told area any pricerange open matches 3 "
        "asks phone | value_name is ... | what is their number ?`. Values of the database are "
        "replaced by the names of their slots, as the published figures have it; who serves it "
        "puts them back.",
    )
    database: list[Entry] = json.loads(read_text(CAMREST_DATABASE))
    slots = slot_of_value(database)
    dialogues = [
        list(turns(json.loads(line)["dial"], database, slots))
        for line in read_text(CAMREST).splitlines()
    ]
    fifth = len(dialogues) // 5
    parts = (dialogues[: -2 * fifth], dialogues[-2 * fifth : -fifth], dialogues[-fifth:])
    learned, held_out, tested = ([pair for turn in part for pair in turn] for part in parts)
    return split_pairs(learned, held_out, tested, facts=facts, config=config, seed=seed)


def turns(
    dialogue: list[Any], database: Sequence[Entry], slots: Mapping[str, str]
) -> Iterator[Pair]:
    """One pair for each turn; `slots` are those of the database's values."""
    before = ""
    for turn in dialogue:
        said = delexicalised(turn["usr"]["transcript"], slots)
        reply = delexicalised(turn["sys"]["sent"], slots)
        if said and reply:
            yield Pair(f"{known(turn['usr']['slu'], database)} | {before} | {said}", (reply,))
        before = reply


def known(acts: list[Any], database: Sequence[Entry]) -> str:
    """What is sought, how many entries are that, and what is asked; `acts` are of all so far."""
    told = [(act["act"], slot, value) for act in acts for slot, value in act["slots"]]
    sought = {slot: value for act, slot, value in told if act == "inform" and slot in _SOUGHT}
    wanted = {slot: value for slot, value in sought.items() if value != "dontcare"}
    matches = sum(all(entry.get(s) == v for s, v in wanted.items()) for entry in database)
    words = [
        word
        for slot in _SOUGHT
        for word in (slot, "told" if slot in wanted else "any" if slot in sought else "open")
    ]
    asked = sorted({value for act, _, value in told if act == "request"})
    return " ".join(
        [*words, "matches", str(matches) if matches <= _MANY else "many", "asks", *asked]
    )


def slot_of_value(database: Sequence[Entry]) -> dict[str, str]:
    """`value_food` of "italian", and so on; longer values first, for they may hold shorter ones."""
    found = {
        written: f"value_{slot}"
        for slot in _SLOTS
        for entry in database
        if slot in entry
        for written in _written(words(entry[slot]))
    }
    return {value: found[value] for value in sorted(found, key=len, reverse=True) if value}


def _written(value: str) -> tuple[str, ...]:
    """The value, and other ways to write it: numbers without spaces among them."""
    joined = value.replace(" ", "")
    return (value, _ALSO.get(value, value), joined if joined.isdigit() else value)


def delexicalised(text: str, slots: Mapping[str, str]) -> str:
    """Lower-cased words and marks with spaces between, without any value."""
    spaced = f" {words(text)} "
    for value, slot in slots.items():
        spaced = spaced.replace(f" {value} ", f" {slot} ")
    return spaced.strip()


def words(text: str) -> str:
    return " ".join(cast("list[str]", _WORD.findall(text.lower())))

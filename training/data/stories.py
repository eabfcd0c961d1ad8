"""Questions about short stories: what is read is a story and its question, a label is an answer.

Stories of one world are alike up to who and where: in training, names are dealt anew each time.
"""

import random
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from training.config import DataConfig
from training.data.batches import Batch, DataFacts, Shard, epoch_seed
from training.data.origin import Origin, read_made
from training.data.questions import Labelled, LabelledTexts, encode_texts, label_texts

_ROOT = (
    "https://raw.githubusercontent.com/siddk/entity-network/"
    "b18fbb7c749e98192a77132af9e537e399ac24c7/tasks/en"
)
BABI = {
    split: Origin(path=f"dialogue/babi_en1k_{split}.txt.xz", url=_ROOT, sha256=sha256)
    for split, sha256 in (
        ("train", "5a86d6caadee002762e883faacade084427ee50f8dee893dd7c33b6993ef1a39"),
        ("test", "e14cecfd9db9b37480bd55d56d1583ec161ebe1a388887fbc34e36440cf0a55a"),
    )
}
TASKS = (
    "single-supporting-fact",
    "two-supporting-facts",
    "three-supporting-facts",
    "two-arg-relations",
    "three-arg-relations",
    "yes-no-questions",
    "counting",
    "lists-sets",
    "simple-negation",
    "indefinite-knowledge",
    "basic-coreference",
    "conjunction",
    "compound-coreference",
    "time-reasoning",
    "basic-deduction",
    "basic-induction",
    "positional-reasoning",
    "size-reasoning",
    "path-finding",
    "agents-motivations",
)
_HEADING = "## qa"

_ALIKE = (
    ("mary", "sandra", "julie"),
    ("john", "daniel", "bill", "fred", "jeff"),
    ("lily", "bernhard", "brian", "julius", "greg"),
    ("gertrude", "winona", "emily", "jessica"),
    ("antoine", "jason", "sumit", "yann"),
    ("bathroom", "bedroom", "garden", "hallway", "kitchen", "office", "cinema", "park", "school"),
    ("football", "apple", "milk"),
    ("mouse mice", "cat cats", "wolf wolves"),
    ("lion", "frog", "rhino", "swan"),
    ("gray", "green", "white", "yellow", "red", "blue", "pink"),
    ("triangle", "rectangle", "square", "sphere"),
    ("chest", "suitcase", "container"),
    ("north n", "south s"),
    ("east e", "west w"),
    ("left", "right"),
    ("above", "below"),
)
"""What may stand for what, all through a story and in its answer, and leave it as true; the words
of one thing go together."""
_AS_THEY_ARE = frozenset({"agents-motivations"})
"""Here what a place or a thing is decides the answer: who is tired goes to the bedroom."""
_WORD = re.compile(r"\w+")

Groups = Sequence[Sequence[str]]


@dataclass(frozen=True, slots=True)
class Asked:
    """One question."""

    story: int
    """Several questions may be of one story: each is asked when more of it has been told."""
    item: Labelled
    """The text is the story up to here and the question; the label is `answer:task`."""

    @property
    def task(self) -> str:
        return task_of(self.item)


@dataclass(frozen=True, slots=True)
class StoryQuestions(LabelledTexts):
    """The kind of a class is the task whose answer it is."""

    alike: Mapping[str, Groups]
    """Of each task, what may stand for what."""

    def train(self, epoch: int, shard: Shard) -> list[Batch]:
        """Every question once, of other people and places than the last time."""
        draw = random.Random(epoch_seed(self.seed, epoch))
        longest = self.config.longest_story
        items = [
            self._retold(item, draw)
            for item, ids in zip(self.learned.items, self.learned.ids, strict=True)
            if not longest or len(ids) <= longest
        ]
        return self.shuffled(encode_texts(self.tokenizer, items), epoch, shard)

    def _retold(self, item: Labelled, draw: random.Random) -> Labelled:
        """As it is, where no story of the split has the answer that it would have."""
        retold = renamed(item, dealt(self.alike[task_of(item)], draw))
        return retold if retold.label in self.kinds else item


def babi(config: DataConfig, seed: int) -> StoryQuestions:
    """Weston et al. 2015: twenty tasks, a thousand questions each to learn from and to test."""
    facts = DataFacts(
        title="bAbI 1.2 in English, 20 tasks of 1,000 questions (1k)",
        source=_ROOT,
        licence="CC BY 3.0",
        splits=(),
        note="The published split; validation is a seeded part of the stories of train. One model "
        "for all tasks, taught by answers alone, never by which sentences matter. In training, "
        "people, places and things that may stand for each other are renamed all through a story "
        "and its answer, otherwise in every epoch.",
    )
    learn, test = (parse_stories(_read(split)) for split in ("train", "test"))
    return split_stories(learn, test, facts=facts, config=config, seed=seed)


def split_stories(
    learn: Sequence[Asked],
    test: Sequence[Asked],
    *,
    facts: DataFacts,
    config: DataConfig,
    seed: int,
) -> StoryQuestions:
    """Whole stories of `learn` are held out: their later questions repeat the earlier ones'."""
    stories = sorted({asked.story for asked in learn})
    count = int(len(stories) * config.validation_fraction)
    held = set(random.Random(seed).sample(stories, count))
    texts = label_texts(
        [asked.item for asked in learn if asked.story not in held],
        [asked.item for asked in learn if asked.story in held],
        [asked.item for asked in test],
        facts=facts,
        config=config,
        seed=seed,
    )
    return StoryQuestions(
        facts=replace(texts.facts, splits=_in_questions(texts.facts.splits)),
        tokenizer=texts.tokenizer,
        labels=texts.labels,
        kinds=texts.kinds,
        learned=texts.learned,
        held_out=texts.held_out,
        tested=texts.tested,
        config=config,
        seed=seed,
        alike=_alike(learn),
    )


def parse_stories(text: str) -> list[Asked]:
    """`## qa1 name` begins a task, line number 1 a story; a question has tabs before its answer."""
    asked: list[Asked] = []
    task, story, told = "", 0, list[str]()
    for line in text.splitlines():
        number, _, rest = line.partition(" ")
        if number == "##":
            task = rest.partition(" ")[2]
            continue
        if number == "1":
            story, told = story + 1, []
        if "\t" not in rest:
            told.append(rest)
            continue
        question, answer, *_ = rest.split("\t")
        text_so_far = " ".join([*told, question.strip()])
        asked.append(Asked(story, Labelled(text_so_far, f"{answer}:{task}")))
    return asked


def join_tasks(parts: Sequence[bytes]) -> bytes:
    """The origin's files, a task each, one after the other below a heading."""
    return b"".join(
        f"## qa{number} {task}\n".encode() + part
        for (number, task), part in zip(enumerate(TASKS, start=1), parts, strict=True)
    )


def task_of(item: Labelled) -> str:
    return item.label.partition(":")[2]


def dealt(groups: Groups, draw: random.Random) -> dict[str, str]:
    """Each word of the groups with the word that stands for it from now on."""
    names: dict[str, str] = {}
    for group in groups:
        for old, new in zip(group, draw.sample(group, len(group)), strict=True):
            names.update(zip(old.split(), new.split(), strict=True))
    return names


def renamed(item: Labelled, names: Mapping[str, str]) -> Labelled:
    """The same story of others, its capitals where they were."""

    def name(word: re.Match[str]) -> str:
        new = names.get(word[0].lower(), word[0])
        return new.capitalize() if word[0][0].isupper() else new

    answer, _, task = item.label.partition(":")
    return Labelled(_WORD.sub(name, item.text), f"{_WORD.sub(name, answer)}:{task}")


def _read(split: str) -> str:
    urls = [f"{_ROOT}/qa{number}_{task}_{split}.txt" for number, task in enumerate(TASKS, start=1)]
    return read_made(BABI[split], urls, join_tasks)


def _alike(learn: Sequence[Asked]) -> dict[str, Groups]:
    """Of each task, those of what is alike that its own stories tell of."""
    words: dict[str, set[str]] = {}
    for asked in learn:
        words.setdefault(asked.task, set()).update(_WORD.findall(asked.item.text.lower()))
    return {
        task: [] if task in _AS_THEY_ARE else list(_told_of(known)) for task, known in words.items()
    }


def _told_of(words: set[str]) -> Iterator[list[str]]:
    for group in _ALIKE:
        told = [thing for thing in group if thing.split()[0] in words]
        if len(told) > 1:
            yield told


def _in_questions(splits: Sequence[tuple[str, str]]) -> tuple[tuple[str, str], ...]:
    return tuple((name, held.replace("texts", "questions")) for name, held in splits)

"""Stories come out of their lines as they were told; retold, they have the answer they should."""

import random

from tests.training.data.origins import served
from training.config import DataConfig
from training.data.batches import DataFacts, Shard
from training.data.questions import Labelled
from training.data.stories import (
    TASKS,
    Asked,
    StoryQuestions,
    dealt,
    join_tasks,
    parse_stories,
    renamed,
    split_stories,
)

STORY = """\
1 Mary moved to the bathroom.
2 John went to the hallway.
3 Where is Mary? \tbathroom\t1
4 Mary took the milk there.
5 What is Mary carrying?\tmilk\t4
1 John went to the garden.
2 Where is John? \tgarden\t1
"""
FACTS = DataFacts("sample", "here", "none", ())


def test_a_question_is_asked_of_all_that_was_told_before_it_and_no_other_question():
    assert parse_stories(f"## qa1 easy\n{STORY}") == [
        Asked(
            1,
            Labelled(
                "Mary moved to the bathroom. John went to the hallway. Where is Mary?",
                "bathroom:easy",
            ),
        ),
        Asked(
            1,
            Labelled(
                "Mary moved to the bathroom. John went to the hallway. Mary took the milk there. "
                "What is Mary carrying?",
                "milk:easy",
            ),
        ),
        Asked(2, Labelled("John went to the garden. Where is John?", "garden:easy")),
    ]


def test_the_origins_files_become_one_with_a_heading_for_each():
    parts = {f"qa{number}": STORY.encode() for number in range(1, 21)}
    made = join_tasks(list(parts.values()))
    with served(parts, made) as (read, cached):
        asked = parse_stories(read(join_tasks))
        assert cached() == made
    assert [each.task for each in asked[::3]] == list(TASKS)


def test_renaming_reaches_the_answer_and_keeps_capitals():
    names = {"mary": "sandra", "bathroom": "garden", "garden": "bathroom", "south": "north"}
    item = Labelled("Mary is in the bathroom, south of the garden. Who is?", "Mary:easy")
    assert renamed(item, names) == Labelled(
        "Sandra is in the garden, north of the bathroom. Who is?", "Sandra:easy"
    )
    assert renamed(Labelled("", "s,e:easy"), {"s": "n"}).label == "n,e:easy"


def test_a_deal_gives_every_name_to_one_thing_and_keeps_the_words_of_a_thing_together():
    for seed in range(20):
        names = dealt(
            [["mary", "sandra", "julie"], ["mouse mice", "cat cats"]], random.Random(seed)
        )
        assert sorted(names) == sorted(names.values())
        assert (names["mouse"], names["mice"]) in {("mouse", "mice"), ("cat", "cats")}
        assert names["mary"] in {"mary", "sandra", "julie"}


def test_the_questions_of_a_story_are_held_out_together():
    stories = "".join(STORY for _ in range(20))
    data = questions(f"## qa1 easy\n{stories}", validation_fraction=0.25)
    assert len(data.learned.items) + len(data.held_out.items) == 60
    held = [item.label for item in data.held_out.items]
    assert held.count("bathroom:easy") == held.count("milk:easy")


def test_an_epoch_retells_every_story_and_keeps_what_it_cannot_retell():
    data = questions(f"## qa1 easy\n{STORY}")
    first, again, later = (retold(data, epoch) for epoch in (0, 0, 5))
    assert first == again
    assert first != later
    # Of three kinds of answer, no other room is known than these.
    assert {label for _, label in first + later} <= set(data.kinds)


def retold(data: StoryQuestions, epoch: int) -> list[tuple[str, str]]:
    """(text, label) of everything in an epoch."""
    return [
        (data.tokenizer.decode(row[:length].tolist()), data.kinds[target])
        for batch in data.train(epoch, Shard())
        if batch.lengths is not None
        for row, length, target in zip(batch.inputs, batch.lengths, batch.targets, strict=True)
    ]


def questions(text: str, *, validation_fraction: float = 0.0) -> StoryQuestions:
    config = DataConfig("babi", 4, validation_fraction=validation_fraction)
    asked = parse_stories(text)
    return split_stories(asked, asked[:3], facts=FACTS, config=config, seed=0)

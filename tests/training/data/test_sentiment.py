"""Trees of phrases become texts that say what they feel; neutral ones say nothing."""

from training.data.questions import Labelled
from training.data.sentiment import first_lines, phrases, sentences

TREE = "(4 (2 (2 A) (2 film)) (3 (2 -LRB-) (1 either\\/or) (2 -RRB-)))"


def test_every_phrase_that_is_not_neutral_teaches():
    assert phrases(TREE) == [
        Labelled("either/or", "negative:rather"),
        Labelled("( either/or )", "positive:rather"),
        Labelled("A film ( either/or )", "positive:very"),
    ]


def test_a_whole_sentence_is_asked_unless_it_is_neutral():
    assert sentences(TREE) == [Labelled("A film ( either/or )", "positive:very")]
    assert sentences("(2 (4 good) (2 .))") == []


def test_the_training_split_is_the_beginning_of_its_file():
    lines = b"".join(b"(2 %d)\n" % number for number in range(9000))
    assert first_lines([lines]).splitlines()[-1] == b"(2 8543)"

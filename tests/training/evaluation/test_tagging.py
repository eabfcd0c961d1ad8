"""Tags and slots are counted as the field counts them, beside each word's commonest tag."""

import pytest

from tests.training.evaluation.test_evaluate import untrained
from training.data.tagging import Sentences, Tagged
from training.evaluation.evaluate import evaluate
from training.evaluation.tagging import accuracy, commonest_tags, slot_f1


def test_a_slot_is_right_only_as_a_whole():
    truth = [["B-to", "I-to", "O", "B-from"]]
    assert slot_f1(truth, truth) == 1.0
    # One of two slots found whole, and two told: precision and recall are a half each.
    assert slot_f1(truth, [["B-to", "O", "O", "B-from"]]) == 0.5


def test_a_tag_that_training_never_saw_is_never_right():
    assert accuracy([["A", "B"], ["C"]], [["A", "A"], ["D"]]) == pytest.approx(1 / 3)


def test_the_floor_gives_unknown_words_the_commonest_tag():
    learned = [Tagged(("a", "b", "b"), ("X", "Y", "Y")), Tagged(("b",), ("X",))]
    floor = commonest_tags(Sentences(learned, [], []), Sentences([Tagged(("b", "c"), ())], [], []))
    assert floor == [["Y", "X"]]


def test_an_untrained_tagger_is_worse_than_the_floor():
    evaluation = evaluate(*untrained("tiny-wishes"))
    slots, intents = evaluation.metrics
    assert (slots.name, intents.name) == ("slot F1", "intent accuracy")
    assert slots.baseline is not None
    assert slots.value < slots.baseline
    assert evaluation.picture.png.startswith(b"\x89PNG")

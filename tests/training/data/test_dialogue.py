"""Replies are learned with slots in the place of values, whatever the values hold."""

from training.data.dialogue import delexicalised, slot_of_value, turns
from training.data.pairs import Pair

DATABASE = [
    {"name": "the italian kitchen", "food": "italian", "phone": "01223 323737"},
    {"name": "pizza hut", "food": "pizza", "area": "centre"},
]
SLOTS = slot_of_value(DATABASE)


def test_a_longer_value_goes_before_one_inside_it():
    said = "The Italian Kitchen serves Italian food; call 01223 323737."
    assert delexicalised(said, SLOTS) == "value_name serves value_food food ; call value_phone ."


def test_a_value_inside_a_word_stays():
    assert delexicalised("Pizzas in the city centre's heart", SLOTS) == (
        "pizzas in the city centre's heart"
    )


def test_a_source_is_the_last_reply_and_what_was_said_to_it():
    dialogue = [
        {"usr": {"transcript": "Italian food?"}, "sys": {"sent": "The Italian Kitchen."}},
        {"usr": {"transcript": "Thanks!"}, "sys": {"sent": "Bye."}},
    ]
    assert list(turns(dialogue, SLOTS)) == [
        Pair(" | value_food food ?", ("value_name .",)),
        Pair("value_name . | thanks !", ("bye .",)),
    ]

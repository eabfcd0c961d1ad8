"""Replies are learned with slots in the place of values, whatever the values hold."""

from training.data.dialogue import delexicalised, known, slot_of_value, turns
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


def test_other_ways_to_write_a_value_are_that_value():
    said = "Pizza Hut in the center, on 01223323737"
    assert delexicalised(said, SLOTS) == "value_name in the value_area , on value_phone"


def test_a_source_is_what_is_known_the_last_reply_and_what_was_said_to_it():
    food = {"act": "inform", "slots": [["food", "italian"]]}
    asked = {"act": "request", "slots": [["slot", "phone"]]}
    dialogue = [
        {
            "usr": {"transcript": "Italian food?", "slu": [food]},
            "sys": {"sent": "The Italian Kitchen."},
        },
        {"usr": {"transcript": "Their number?", "slu": [food, asked]}, "sys": {"sent": "Bye."}},
    ]
    sought = "food told area open pricerange open matches 1 asks"
    assert list(turns(dialogue, DATABASE, SLOTS)) == [
        Pair(f"{sought} |  | value_food food ?", ("value_name .",)),
        Pair(f"{sought} phone | value_name . | their number ?", ("bye .",)),
    ]


def test_what_may_be_anything_matches_all_and_many_are_not_counted():
    any_food = {"act": "inform", "slots": [["food", "dontcare"]]}
    assert known([any_food], DATABASE) == ("food any area open pricerange open matches 2 asks")
    assert "matches many" in known([any_food], DATABASE * 3)

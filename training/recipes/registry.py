"""Every recipe by its published name."""

from collections.abc import Callable

from training.config import RunConfig
from training.recipes.anomalies import water_circuit
from training.recipes.char_lm import char_lm
from training.recipes.faults import bearing_fault, turbofan_life
from training.recipes.finance import stock_movement
from training.recipes.flight_question import flight_question, flight_question_live
from training.recipes.handwriting import mnist_rows, pen_digits
from training.recipes.many_series import exchange_rate, hourly_series
from training.recipes.motion import aircraft_signal, body_action
from training.recipes.novel_lm import novel_lm
from training.recipes.oil_temperature import oil_temperature
from training.recipes.part_of_speech import part_of_speech
from training.recipes.question_type import question_type
from training.recipes.restaurant_replies import restaurant_replies
from training.recipes.restaurant_sentence import restaurant_sentence
from training.recipes.sentiment import sentiment
from training.recipes.speech import digit_string, spoken_digit, stranger_digit
from training.recipes.story_questions import story_questions
from training.recipes.subject_line import subject_line
from training.recipes.tiny import (
    tiny_language,
    tiny_oddities,
    tiny_pairs,
    tiny_pairs_blind,
    tiny_questions,
    tiny_rhythms,
    tiny_series,
    tiny_tones,
    tiny_tunes,
    tiny_waves,
    tiny_wear,
    tiny_wear_along,
    tiny_wishes,
    tiny_wishes_live,
)
from training.recipes.tiny_cells import (
    tiny_cho,
    tiny_ln_gru,
    tiny_ln_lstm,
    tiny_min_gru,
    tiny_min_lstm,
    tiny_vanilla,
)
from training.recipes.translation import german_english
from training.recipes.word_lm import word_lm

Recipe = Callable[[], RunConfig]

_RECIPES: tuple[Recipe, ...] = (
    char_lm,
    question_type,
    oil_temperature,
    hourly_series,
    exchange_rate,
    part_of_speech,
    flight_question,
    flight_question_live,
    sentiment,
    story_questions,
    word_lm,
    novel_lm,
    turbofan_life,
    bearing_fault,
    water_circuit,
    pen_digits,
    mnist_rows,
    body_action,
    aircraft_signal,
    stock_movement,
    german_english,
    restaurant_replies,
    spoken_digit,
    stranger_digit,
    digit_string,
    restaurant_sentence,
    subject_line,
    tiny_language,
    tiny_pairs,
    tiny_pairs_blind,
    tiny_questions,
    tiny_series,
    tiny_rhythms,
    tiny_wishes,
    tiny_wishes_live,
    tiny_waves,
    tiny_tones,
    tiny_tunes,
    tiny_wear,
    tiny_wear_along,
    tiny_oddities,
    tiny_vanilla,
    tiny_cho,
    tiny_min_gru,
    tiny_min_lstm,
    tiny_ln_lstm,
    tiny_ln_gru,
)


class UnknownRecipe(Exception):
    """No recipe has that name."""


def recipes() -> dict[str, RunConfig]:
    """All recipes' values, by published name."""
    return {config.name: config for config in (recipe() for recipe in _RECIPES)}


def find_recipe(name: str) -> RunConfig:
    """The recipe `name`; `char_lm` and `char-lm` are the same one."""
    known = recipes()
    try:
        return known[name.replace("_", "-")]
    except KeyError:
        raise UnknownRecipe(f"no recipe {name!r}; there are: {', '.join(known)}") from None

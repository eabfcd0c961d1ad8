"""A recipe is a value: the same each time, frozen, found by either spelling of its name."""

from dataclasses import FrozenInstanceError

import pytest

from training.config import dump_config, load_config
from training.recipes.char_lm import char_lm
from training.recipes.registry import UnknownRecipe, find_recipe, recipes


def test_a_recipe_is_the_same_value_each_time():
    assert recipes() == recipes()
    assert char_lm() == find_recipe("char-lm") == find_recipe("char_lm")


def test_published_names_have_hyphens():
    assert set(recipes()) >= {"char-lm", "question-type", "oil-temperature"}
    assert not any("_" in name for name in recipes())


def test_a_recipe_cannot_be_changed_in_place():
    with pytest.raises(FrozenInstanceError):
        char_lm().seed = 1  # pyright: ignore[reportAttributeAccessIssue]


def test_a_recipe_comes_back_from_its_file_as_it_was():
    for config in recipes().values():
        assert load_config(dump_config(config)) == config


def test_an_unknown_recipe_is_answered_with_those_there_are():
    with pytest.raises(UnknownRecipe, match="char-lm"):
        find_recipe("charlm")

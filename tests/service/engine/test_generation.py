"""Stop strings and choices: what is let through does not depend on how the text was cut."""

from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from service.engine.generation import GenerationParams, StopText, choice_seed, for_choice
from service.engine.sampling import SamplingParams

letters = st.text("ab", max_size=30)
stops = st.lists(st.text("ab", min_size=1, max_size=5), max_size=4).map(tuple)


def cut_before_stop(text: str, stop: tuple[str, ...]) -> tuple[str, bool]:
    """Up to the stop string that is whole first; of those that end together, the longest."""
    for end in range(1, len(text) + 1):
        found = [end - len(one) for one in stop if text[:end].endswith(one)]
        if found:
            return text[: min(found)], True
    return text, False


def cut_at(text: str, places: list[int]) -> list[str]:
    edges = [0, *sorted(place % (len(text) + 1) for place in places), len(text)]
    return [text[start:end] for start, end in pairwise(edges)]


@given(letters, stops, st.lists(st.integers(0, 100), max_size=30))
@example("abcd", ("abcd", "bc"), [])
@example("aab", ("ab",), [1])
@example("aaab", ("aab",), [1, 2, 3])
@example("ab", ("b", "ab"), [1])
def test_the_text_is_cut_before_the_first_stop_string_whatever_the_pieces(
    text: str, stop: tuple[str, ...], places: list[int]
) -> None:
    gate = StopText(stop)
    seen = ""
    for piece in cut_at(text, places):
        seen += gate.push(piece)
        if gate.found:
            break
    assert (seen + gate.flush(), gate.found) == cut_before_stop(text, stop)


@given(letters, stops)
def test_nothing_is_let_through_that_could_yet_be_stopped(text: str, stop: tuple[str, ...]) -> None:
    gate = StopText(stop)
    seen = ""
    for index, letter in enumerate(text):
        seen += gate.push(letter)
        if gate.found:
            return
        held = text[len(seen) : index + 1]
        # Held back is the longest end that begins a stop string, and no more.
        ends = (text[at : index + 1] for at in range(index + 2))
        longest = next(end for end in ends if any(one.startswith(end) for one in (*stop, "")))
        assert held == longest


@pytest.mark.parametrize("text", ["", "a", "ab"])
def test_without_stop_strings_nothing_is_held_back(text: str) -> None:
    gate = StopText(())
    assert gate.push(text) == text
    assert gate.flush() == ""
    assert not gate.found


def test_choice_0_has_the_requests_seed_and_the_others_their_own() -> None:
    seeds = [choice_seed(7, index) for index in range(1000)]
    assert seeds[0] == 7
    assert len(set(seeds)) == 1000
    assert all(0 <= seed < 2**64 for seed in seeds)


def test_a_choice_differs_from_its_request_in_the_seed_alone() -> None:
    params = GenerationParams(SamplingParams(temperature=0.5, seed=3), 10, "logits", stop=("a",))
    assert for_choice(params, 0) == params
    other = for_choice(params, 1)
    assert other.sampling.seed != 3
    assert for_choice(other, 0) == other
    assert other.sampling.temperature == 0.5
    assert other.stop == ("a",)

"""Text is cut as treebanks cut it; what a word looks like is told of its pieces."""

import os
import subprocess
import sys

import pytest

from training.data.tokens import (
    BEGINS,
    line_tokenizer,
    piece_tokenizer,
    spelling,
    start_token,
)

WORDS = [["low", "lower", "Lower", "lowest", "new", "newer", "newest"]] * 4


def pieces(text: str) -> list[str]:
    tokenizer = piece_tokenizer(WORDS, num_pieces=60)
    encoding = tokenizer.encode(text, add_special_tokens=False)
    spans: dict[int, tuple[int, int]] = {}
    for word, (start, end) in zip(encoding.word_ids, encoding.offsets, strict=True):
        spans[word] = (spans[word][0] if word in spans else start, end)
    return [text[start:end] for start, end in spans.values()]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("don't go", ["do", "n't", "go"]),
        ("Al's book, we’ll see...", ["Al", "'s", "book", ",", "we", "’ll", "see", "..."]),
        ("mail a.b@c.org, http://x.org/y?z", ["mail", "a.b@c.org", ",", "http://x.org/y?z"]),
        ("U.S. $3.50 at 12:30", ["U.S.", "$", "3.50", "at", "12:30"]),
    ],
)  # fmt: skip
def test_text_is_cut_into_words_as_treebanks_cut_it(text: str, words: list[str]):
    assert pieces(text) == words


MAKE = """
from training.data.tokens import piece_tokenizer
words = [[f"{a}{b}{c}" for a in "abcdefgh" for b in "ijklmn"] for c in "opqrst"]
print(hash(piece_tokenizer(words, num_pieces=60).to_str()))
"""


@pytest.mark.slow
def test_pieces_are_the_same_in_every_process():
    """The words are as frequent as each other, so that ties decide."""
    environment = os.environ | {"PYTHONHASHSEED": "0"}
    command = [sys.executable, "-c", MAKE]
    made = {subprocess.check_output(command, env=environment) for _ in range(3)}
    assert len(made) == 1


def test_words_that_end_alike_share_features():
    tokenizer = piece_tokenizer(WORDS, num_pieces=200)
    features = spelling(tokenizer)
    of = {
        word: set(features[tokenizer.token_to_id(BEGINS + word)].tolist()) - {0}
        for word in WORDS[0]
    }
    assert len(of["lower"] & of["newer"]) > len(of["lower"] & of["newest"])
    assert of["lower"] & of["Lower"]
    assert of["lower"] != of["Lower"]
    assert features[0].sum() == features[1].sum() == 0


def test_the_end_of_a_line_is_a_token_where_a_text_begins():
    tokenizer = line_tokenizer(" a b <unk> \n a N \n")
    assert tokenizer.encode("a N c\n").tokens == ["a", "N", "<unk>", "\n"]
    assert start_token(tokenizer) == tokenizer.token_to_id("\n")
    assert tokenizer.get_vocab_size() == 5

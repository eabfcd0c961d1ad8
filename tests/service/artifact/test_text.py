"""Text to ids and back; a stream of tokens gives whole characters only."""

from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers

from service.artifact.text import Text, TextStream
from service.errors import ArtifactError, InvalidInput
from tests.service.artifacts import byte_tokenizer

REPLACEMENT = "\ufffd"


def text_of(tokenizer: bytes) -> Text:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "tokenizer.json"
        path.write_bytes(tokenizer)
        return Text(path)


def characters(alphabet: str) -> Text:
    """A token a character, as the character models have; nothing stands for the unknown."""
    tokenizer = Tokenizer(models.WordLevel({c: i for i, c in enumerate(alphabet)}))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(r"[\s\S]"), "isolated")
    tokenizer.decoder = decoders.Fuse()
    return text_of(tokenizer.to_str().encode())


BYTES = text_of(byte_tokenizer())


def streamed(ids: list[int], text: Text = BYTES) -> list[str]:
    stream = TextStream(text)
    return [stream.push(token) for token in ids] + [stream.flush()]


def _token_of_byte() -> dict[int, int]:
    """From the characters whose encoding has the byte: two bytes of text reach all that exist."""
    found: dict[int, int] = {}
    for code in (*range(0x800), 0x800, 0x20AC, 0xFFFD, *range(0x1000, 0xD000, 0x1000), 0xE000):
        encoded = chr(code).encode()
        found |= dict(zip(encoded, map(int, BYTES.encode(chr(code))), strict=True))
    for code in (0x10000, 0x40000, 0x80000, 0xC0000, 0x10FFFF):
        found |= dict(zip(chr(code).encode(), map(int, BYTES.encode(chr(code))), strict=True))
    return found


_TOKEN_OF_BYTE = _token_of_byte()


@given(st.text())
def test_decoding_undoes_encoding(text: str) -> None:
    assert BYTES.decode(BYTES.encode(text).tolist()) == text


@given(st.text(min_size=1))
@example("naïve 😀 \u200d🏳️‍🌈")
@example(REPLACEMENT)
@example(f"a{REPLACEMENT}b")
def test_a_stream_of_text_gives_it_back_in_whole_characters(text: str) -> None:
    pieces = streamed(BYTES.encode(text).tolist())
    assert "".join(pieces) == text
    if REPLACEMENT not in text:
        assert not any(REPLACEMENT in piece for piece in pieces)


@settings(max_examples=300)
@given(st.lists(st.sampled_from(sorted(_TOKEN_OF_BYTE.values())), max_size=40))
def test_a_stream_of_any_bytes_is_the_text_of_all_of_them(ids: list[int]) -> None:
    pieces = streamed(ids)
    assert "".join(pieces) == BYTES.decode(ids)
    # Only the flush may end in the stand-in for a character that never became whole.
    assert not any(piece.endswith(REPLACEMENT) for piece in pieces[:-1])


@pytest.mark.parametrize("decoder", [decoders.Metaspace(), decoders.WordPiece()])
def test_a_decoder_that_looks_at_the_token_before_streams_the_same_text(
    decoder: decoders.Decoder,
) -> None:
    vocab = {"▁the": 0, "▁cat": 1, "##s": 2, "▁sat": 3, ".": 4, "sat": 5}
    tokenizer = Tokenizer(models.WordLevel(vocab, unk_token="."))
    tokenizer.decoder = decoder
    text = text_of(tokenizer.to_str().encode())
    ids = [0, 1, 2, 3, 4, 5, 2, 0, 0]
    assert "".join(streamed(ids, text)) == text.decode(ids)


def test_an_unknown_character_is_named() -> None:
    with pytest.raises(InvalidInput, match="'é'"):
        characters("abc").encode("abécé")


def test_half_a_surrogate_pair_is_an_error_of_the_input() -> None:
    with pytest.raises(InvalidInput, match="ud800"):
        BYTES.encode("a\ud800")


def test_text_without_characters_has_no_tokens() -> None:
    assert BYTES.encode("").shape == (0,)


def test_a_token_that_is_part_of_a_character_still_has_a_name() -> None:
    names = [BYTES.token(token) for token in range(BYTES.num_tokens)]
    assert all(names)
    assert not any(REPLACEMENT in name for name in names)


def test_what_is_no_tokenizer_is_refused_by_its_file_name() -> None:
    with pytest.raises(ArtifactError, match=r"tokenizer\.json"):
        text_of(b"{}")

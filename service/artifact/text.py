"""Text to token ids and back, by one tokenizer.json for training and serving."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer as _Tokenizer

from service.errors import ArtifactError, InvalidInput

_REPLACEMENT = "�"
_MAX_REMEMBERED = 1 << 16
"""Pieces of text that are remembered by their tokens; then all are forgotten."""
_MAX_REMEMBERED_TOKENS = 8
"""Of one piece: longer ones do not come again."""


@dataclass(frozen=True, slots=True)
class Word:
    """A word of a text, and where it stands."""

    text: str
    start: int
    """In characters; `end` is one past the last."""
    end: int
    last_token: int
    """The place of its last token among the text's."""


@dataclass(frozen=True, slots=True)
class Words:
    """A text as token ids `[time]`, and the words that they are pieces of."""

    ids: NDArray[np.int64]
    words: tuple[Word, ...]


class Text:
    """A tokenizer read from `path`, with errors that name what is wrong."""

    def __init__(self, path: Path) -> None:
        try:
            self._tokenizer = _Tokenizer.from_file(str(path))
        except Exception as error:
            raise ArtifactError(f"not a tokenizer: {error}", file=path.name) from error
        self._tokenizer.no_padding()
        self._tokenizer.no_truncation()
        self._token_texts: dict[int, str] = {}
        self._pieces: dict[tuple[int, ...], str] = {}

    @property
    def num_tokens(self) -> int:
        return self._tokenizer.get_vocab_size(with_added_tokens=True)

    def encode(self, text: str) -> NDArray[np.int64]:
        """Token ids `[time]`; text with no token, or one the vocabulary lacks, is refused."""
        try:
            # Unlike `encode`, it lets other threads run meanwhile; and it computes no offsets.
            (encoding,) = self._tokenizer.encode_batch_fast([text], add_special_tokens=False)
        except Exception as error:
            raise InvalidInput(
                f"the text holds {self._unknown(text)}, which the model's vocabulary lacks"
            ) from error
        return np.asarray(encoding.ids, dtype=np.int64)

    def encode_words(self, text: str) -> Words:
        """Refuses what `encode` refuses."""
        ids = self.encode(text)
        encoding = self._tokenizer.encode(text, add_special_tokens=False)
        words: dict[int, Word] = {}
        for place, (word, (start, end)) in enumerate(
            zip(encoding.word_ids, encoding.offsets, strict=True)
        ):
            assert word is not None, "only special tokens are of no word"
            begin = words[word].start if word in words else start
            words[word] = Word(text[begin:end], begin, end, place)
        return Words(ids, tuple(words.values()))

    def decode(self, ids: Sequence[int]) -> str:
        """Text of `ids`; an incomplete UTF-8 character at either end shows as U+FFFD."""
        return self._tokenizer.decode(list(ids), skip_special_tokens=True)

    def piece(self, ids: tuple[int, ...]) -> str:
        """`decode` of a few tokens; remembered, for streams ask for the same ones all the time."""
        if len(ids) > _MAX_REMEMBERED_TOKENS:
            return self.decode(ids)
        known = self._pieces.get(ids)
        if known is None:
            if len(self._pieces) >= _MAX_REMEMBERED:
                self._pieces.clear()
            known = self._pieces[ids] = self.decode(ids)
        return known

    def token(self, token_id: int) -> str:
        """The text of one token as people read it; remembered, for long texts ask for many."""
        known = self._token_texts.get(token_id)
        if known is None:
            known = self._token_texts[token_id] = self._token_text(token_id)
        return known

    def _token_text(self, token_id: int) -> str:
        text = self.decode([token_id])
        if text and _REPLACEMENT not in text:
            return text
        return self._tokenizer.id_to_token(token_id) or ""

    def _unknown(self, text: str) -> str:
        for character in dict.fromkeys(text):
            try:
                self._tokenizer.encode(character, add_special_tokens=False)
            except Exception:  # noqa: BLE001 - tokenizers raises bare Exception
                return f"{character!r}"
        return "a token"


class TextStream:
    """Decodes token by token, and never hands out a piece of a character."""

    def __init__(self, text: Text) -> None:
        self._text = text
        self._context: tuple[int, ...] = ()
        """The tokens of the last piece: decoders look at the token before."""
        self._new: tuple[int, ...] = ()
        """Tokens whose text is not certain yet."""

    def push(self, token_id: int) -> str:
        """The text that became certain with this token; it may be empty."""
        self._new = (*self._new, token_id)
        before = self._text.piece(self._context)
        now = self._text.piece(self._context + self._new)
        if now.endswith(_REPLACEMENT) or len(now) <= len(before):
            return ""
        self._context, self._new = self._new, ()
        return now[len(before) :]

    def flush(self) -> str:
        """What is left at the end, with U+FFFD for a character that never became whole."""
        before = self._text.piece(self._context)
        now = self._text.piece(self._context + self._new)
        self._context, self._new = self._new, ()
        return now[len(before) :]

"""Text becomes numbers by a tokenizer that serving reads too: one `tokenizer.json` for both."""

from collections.abc import Iterable

import torch
from tokenizers import Regex, Tokenizer, decoders, pre_tokenizers
from tokenizers.decoders import Fuse
from tokenizers.models import BPE, WordLevel
from tokenizers.normalizers import Lowercase
from tokenizers.pre_tokenizers import BertPreTokenizer, Split
from tokenizers.trainers import BpeTrainer, WordLevelTrainer
from torch import Tensor

PAD, UNKNOWN = "[PAD]", "[UNK]"
PAD_ID, UNKNOWN_ID = 0, 1
START, END = "[START]", "[END]"
START_ID, END_ID = 2, 3
"""Before and after a text that is written token by token."""


def character_tokenizer(text: str) -> Tokenizer:
    """A token for every character of `text`, and an error for any other: there is no unknown."""
    characters = sorted(set(text))
    tokenizer = Tokenizer(WordLevel({c: i for i, c in enumerate(characters)}))
    tokenizer.pre_tokenizer = Split(Regex(r"[\s\S]"), behavior="isolated")
    tokenizer.decoder = Fuse()
    return tokenizer


def word_tokenizer(texts: Iterable[str], *, min_frequency: int) -> Tokenizer:
    """Lower-cased words, and every punctuation mark by itself; rare ones share `[UNK]`.

    So "Galileo?" as people type it is "Galileo ?" as data sets have it.
    """
    tokenizer = Tokenizer(WordLevel(unk_token=UNKNOWN))
    tokenizer.normalizer = Lowercase()
    tokenizer.pre_tokenizer = BertPreTokenizer()
    trainer = WordLevelTrainer(
        special_tokens=[PAD, UNKNOWN], min_frequency=min_frequency, show_progress=False
    )
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


def reading_tokenizer(texts: Iterable[str], *, num_tokens: int) -> Tokenizer:
    """Pieces of lower-cased words, and every punctuation mark by itself, as people type them."""
    words = pre_tokenizers.Sequence([BertPreTokenizer(), pre_tokenizers.Metaspace()])
    return _piece_tokenizer(texts, words, num_tokens=num_tokens)


def writing_tokenizer(texts: Iterable[str], *, num_tokens: int) -> Tokenizer:
    """Pieces of words that end at spaces and nowhere else: decoded, they are the text again."""
    return _piece_tokenizer(texts, pre_tokenizers.Metaspace(), num_tokens=num_tokens)


def encode(tokenizer: Tokenizer, text: str) -> Tensor:
    """Token ids `[time]` int64."""
    return torch.tensor(tokenizer.encode(text, add_special_tokens=False).ids)


def start_token(tokenizer: Tokenizer) -> int:
    """The id of a line's end: a text begins as a line does."""
    token = tokenizer.token_to_id("\n")
    assert token is not None, "a text without lines has no place to start"
    return token


def _piece_tokenizer(
    texts: Iterable[str], words: pre_tokenizers.PreTokenizer, *, num_tokens: int
) -> Tokenizer:
    """Byte-pair encoding of characters: Sennrich et al. 2016 (arXiv 1508.07909)."""
    tokenizer = Tokenizer(BPE(unk_token=UNKNOWN))
    tokenizer.normalizer = Lowercase()
    tokenizer.pre_tokenizer = words
    tokenizer.decoder = decoders.Metaspace()
    trainer = BpeTrainer(
        vocab_size=num_tokens,
        special_tokens=[PAD, UNKNOWN, START, END],
        min_frequency=2,
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer

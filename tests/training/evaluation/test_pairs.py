"""BLEU is that of the words, and the trivial translator is a fair one."""

from training.config import DataConfig
from training.data.batches import DataFacts
from training.data.pairs import Pair, TextPairs, split_pairs
from training.evaluation.pairs import bleu, nearest_targets

LEARNED = [
    Pair("die katze schläft im garten", ("the cat sleeps in the garden",)),
    Pair("der hund läuft im regen weg", ("the dog runs away in the rain",)),
]


def data(tested: list[Pair]) -> TextPairs:
    return split_pairs(
        LEARNED,
        LEARNED,
        tested,
        facts=DataFacts("made up", "here", "none", ()),
        config=DataConfig("made-up", batch_size=2, source_tokens=200, target_tokens=200),
        seed=0,
    )


def test_what_people_wrote_is_worth_a_hundred():
    pairs = data(LEARNED)
    assert round(bleu([item.targets[0] for item in LEARNED], pairs), 6) == 100.0
    assert bleu(["a b c d e f", "g h i j k l"], pairs) == 0.0


def test_any_of_several_targets_is_right():
    both = Pair("die katze schläft", ("the cat is asleep now", "the cat sleeps"))
    one = Pair("der hund läuft", ("the dog runs away",))
    pairs = data([both, one])
    assert round(bleu(["the cat is asleep now", "the dog runs away"], pairs), 6) == 100.0
    assert round(bleu(["the cat sleeps", "the dog runs away"], pairs), 6) == 100.0


def test_the_nearest_source_shares_the_rarest_words():
    tested = [Pair("ein hund im regen", ("a dog in the rain",))]
    assert nearest_targets(data(tested)) == ["the dog runs away in the rain"]


def test_words_end_at_spaces_and_come_back_whole():
    pairs = data(LEARNED)
    for item in LEARNED:
        ids = pairs.target_tokenizer.encode(item.targets[0]).ids
        assert pairs.target_tokenizer.decode(ids) == item.targets[0]


def test_a_source_is_read_as_people_type_it():
    pairs = data(LEARNED)
    typed, spaced = (
        pairs.source_tokenizer.encode(text).ids
        for text in ("Die Katze, im Garten", "die katze , im garten")
    )
    assert typed == spaced


def test_a_batch_has_ends_and_no_loss_in_its_padding():
    batch = data(LEARNED).learned.batch([0, 1])
    assert batch.lengths is not None
    assert (batch.targets[:, 0] == 2).all()
    ends = (batch.targets != 0).sum(dim=1) - 1
    assert [batch.targets[row, end].item() for row, end in enumerate(ends)] == [3, 3]
    assert [batch.inputs[row, end - 1].item() for row, end in enumerate(batch.lengths)] == [3, 3]

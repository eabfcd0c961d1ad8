"""Overlap is that of the words with any right text, and the trivial writer is a fair one."""

from training.config import DataConfig
from training.data.batches import DataFacts, Shard
from training.data.pairs import Measure, Pair, Row, TextPairs, split_pairs
from training.evaluation.overlap import overlap
from training.evaluation.trivial import leading_words, nearest_targets

LEARNED = [
    Pair("die katze schläft im garten", ("the cat sleeps in the garden",)),
    Pair("der hund läuft im regen weg", ("the dog runs away in the rain",)),
]


def data(tested: list[Pair], *, learned: list[Pair] = LEARNED, looks: int = 1) -> TextPairs:
    return split_pairs(
        learned,
        LEARNED,
        tested,
        facts=DataFacts("made up", "here", "none", ()),
        config=DataConfig(
            "made-up", batch_size=2, source_tokens=200, target_tokens=200, looks=looks
        ),
        seed=0,
    )


def score(texts: list[str], items: list[Pair], measure: Measure = "bleu") -> float:
    return round(overlap(texts, items, measure), 6)


def test_what_people_wrote_is_worth_a_hundred():
    wanted = [item.targets[0] for item in LEARNED]
    for measure in ("bleu", "rouge"):
        assert score(wanted, LEARNED, measure) == 100.0
        assert score(["a b c d e f", "g h i j k l"], LEARNED, measure) == 0.0


def test_any_of_several_targets_is_right():
    both = Pair("die katze schläft", ("the cat is asleep now", "the cat sleeps"))
    one = Pair("der hund läuft", ("the dog runs away",))
    assert score(["the cat is asleep now", "the dog runs away"], [both, one]) == 100.0
    assert score(["the cat sleeps", "the dog runs away"], [both, one]) == 100.0


def test_names_are_back_in_their_places_before_anything_is_compared():
    names = (("value_name", "the old mill by the river"),)
    item = Pair("name", ("value_name is a pub .", "the old mill by the river is open ."), names)
    assert score(["value_name is open ."], [item]) == 100.0


def test_rouge_does_not_ask_for_the_order_or_the_ending_of_words():
    assert score(["meetings confirmed"], [Pair("x", ("confirm meeting",))], "rouge") == 100.0


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


def test_the_beginning_of_a_text_is_its_trivial_summary():
    long = Pair(" ".join(f"w{place}" for place in range(40)), ("w",))
    (text,) = leading_words(data([long]).tested)
    assert long.source.startswith(text)
    assert len(text) < len(long.source)


def test_an_epoch_looks_at_some_targets_of_each_source_and_at_others_the_next_time():
    many = [Pair(f"satz {place}", ("eins", "zwei", "drei", "vier")) for place in range(8)]
    pairs = data(many, learned=[*many, Pair("allein", ("eins",))], looks=2)
    rows = [pairs.learned.drawn(2, seed=seed) for seed in (0, 1)]
    assert [len(drawn) for drawn in rows] == [17, 17]
    assert [len(set(drawn)) for drawn in rows] == [17, 17]
    assert rows[0] != rows[1]
    assert sum(len(batch.inputs) for batch in pairs.train(0, Shard())) == 17


def test_all_targets_are_validated():
    pairs = data(LEARNED, learned=[Pair("satz", ("eins", "zwei"))])
    assert sum(len(batch.inputs) for batch in pairs.validation()) == 2
    assert pairs.held_out.rows() == [Row(0, 0), Row(1, 0)]


def test_a_batch_has_ends_and_no_loss_in_its_padding():
    batch = data(LEARNED).learned.batch([Row(0, 0), Row(1, 0)])
    assert batch.lengths is not None
    assert (batch.targets[:, 0] == 2).all()
    ends = (batch.targets != 0).sum(dim=1) - 1
    assert [batch.targets[row, end].item() for row, end in enumerate(ends)] == [3, 3]
    assert [batch.inputs[row, end - 1].item() for row, end in enumerate(batch.lengths)] == [3, 3]

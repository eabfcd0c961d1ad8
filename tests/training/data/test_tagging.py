"""Tagged sentences as their origins write them, cut into pieces that keep their words' tags."""

from tests.training.data.origins import served
from training.config import DataConfig
from training.data.batches import NOT_COUNTED, DataFacts, Shard
from training.data.tagging import (
    Tagged,
    TaggedSentences,
    join_slots,
    parse_conllu,
    parse_slots,
    split_sentences,
)
from training.data.tokens import BEGINS

CONLLU = """\
# sent_id = 1
# text = Don't go
1-2\tDon't\t_\t_\t_\t_\t_\t_\t_\t_
1\tDo\tdo\tAUX\tVB\t_\t3\taux\t_\t_
2\tn't\tnot\tPART\tRB\t_\t3\tadvmod\t_\t_
3\tgo\tgo\tVERB\tVB\t_\t0\troot\t_\t_
3.1\tgone\tgo\tVERB\tVB\t_\t_\t_\t_\t_

# sent_id = 2
1\tYes\tyes\tINTJ\tUH\t_\t0\troot\t_\t_

"""
FACTS = DataFacts("sample", "here", "none", ())


def sentences(learn: list[Tagged], test: list[Tagged], *, num_pieces: int = 60) -> TaggedSentences:
    config = DataConfig("sample", batch_size=4, num_pieces=num_pieces)
    return split_sentences(learn, test, test, facts=FACTS, config=config, seed=0)


def test_ranges_and_empty_nodes_of_conllu_are_no_words():
    assert parse_conllu(CONLLU) == [
        Tagged(("Do", "n't", "go"), ("AUX", "PART", "VERB")),
        Tagged(("Yes",), ("INTJ",)),
    ]


def test_three_files_of_the_origin_become_the_one_that_is_kept():
    parts = (
        b"fly to boston \nprices\n",
        b"O O B-toloc.city_name\nO\n",
        b"atis_flight\natis_airfare\n",
    )
    joined = join_slots(parts)
    assert joined.splitlines()[0] == (
        b'{"tokens": ["fly", "to", "boston"], "slots": ["O", "O", "B-toloc.city_name"], '
        b'"intent": "atis_flight"}'
    )
    assert parse_slots(joined.decode()) == [
        Tagged(("fly", "to", "boston"), ("O", "O", "B-toloc.city_name"), "atis_flight"),
        Tagged(("prices",), ("O",), "atis_airfare"),
    ]


def test_every_piece_learns_its_words_tag_and_the_last_one_is_asked():
    # So few pieces that there is one for every character and hardly any for more.
    learn = [Tagged(("aab", "b"), ("Y", "X"), "j")]
    data = sentences(learn, [], num_pieces=5)
    words, ids = data.learned.words[0], data.learned.ids[0]
    pieces = [data.tokenizer.id_to_token(int(token)) for token in ids]
    assert pieces == [BEGINS, "a", "a", "b", BEGINS, "b"]
    assert words.tolist() == [0, 0, 0, 0, 1, 1]
    assert data.learned.last_pieces(0).tolist() == [3, 5]
    (batch,) = data.train(0, Shard())
    assert [data.tags[tag] for tag in batch.targets[0, 1:]] == [*["Y"] * 4, "X", "X"]


def test_labels_that_training_never_saw_carry_no_loss():
    learn = [Tagged(("a", "b"), ("X", "Y"), "i")] * 2
    data = sentences(learn, [Tagged(("a",), ("Z",), "unseen")])
    assert data.tags == ("X", "Y")
    assert data.intents == ("i",)
    (batch,) = data.validation()
    assert batch.targets.tolist() == [[NOT_COUNTED, NOT_COUNTED]]


def test_a_batch_has_the_intent_first_and_a_tag_a_step_after_it():
    learn = [Tagged(("a", "b"), ("X", "Y"), "i"), Tagged(("b",), ("Y",), "j")]
    data = sentences(learn, [])
    (batch,) = data.train(0, Shard())
    assert batch.lengths is not None
    rows = {tuple(row) for row in batch.targets.tolist()}
    assert rows == {(0, 0, 1), (1, 1, NOT_COUNTED)}
    assert sorted(batch.lengths.tolist()) == [1, 2]


def test_the_split_is_counted_in_sentences_and_words():
    data = sentences([Tagged(("a", "b"), ("X", "Y"))] * 2, [Tagged(("a",), ("X",))])
    assert data.facts.splits[0] == ("train", "2 sentences, 4 words")
    assert data.facts.splits[2] == ("test", "1 sentences, 1 words")
    assert data.intents == ()


def test_what_is_made_of_several_files_is_kept_and_checked_as_one():
    parts = {"a": b"fly\n", "b": b"O\n", "c": b"atis_flight\n"}
    made = join_slots(list(parts.values()))
    with served(parts, made) as (read, cached):
        assert read(join_slots) == made.decode()
        assert cached() == made

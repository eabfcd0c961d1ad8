"""Texts of words: in the split they come in, with the end of a line as a token."""

import numpy as np
import pytest
import torch

from training.config import DataConfig, ModelConfig, OptimConfig, RunConfig
from training.data.batches import DataFacts
from training.data.language import LanguageData, split_novel, words_of
from training.evaluation.evaluate import evaluate
from training.export.graph import build_graph
from training.runner import Runner
from training.tasks.build import build as build_task

TRAIN = " the <unk> is N years old \n the old is the old \n" * 20
TEST = " the years is new \n" * 20
FACTS = DataFacts("sample", "here", "none", ())
CONFIG = RunConfig(
    "words",
    "",
    data=DataConfig("sample", batch_size=4, chunk_steps=5),
    model=ModelConfig(cell="lstm", hidden=8, layers=2, embedding=8, tied=True),
    optim=OptimConfig(learning_rate=1e-3, max_epochs=1),
)


def words() -> LanguageData:
    return words_of([TRAIN, TEST, TEST], FACTS, config=CONFIG.data, seed=0)


def test_words_of_other_splits_are_unknown_and_the_ends_of_lines_count():
    data = words()
    tokens = [data.tokenizer.id_to_token(int(token)) for token in data.tested[:5]]
    assert tokens == ["the", "years", "is", "<unk>", "\n"]
    assert data.facts.splits == (
        ("train", "260 words"),
        ("validation", "100 words"),
        ("test", "100 words"),
    )


def test_a_novel_is_cut_in_tenths_in_its_own_order():
    data = split_novel("abcdefghijklmnopqrst", FACTS, config=CONFIG.data, seed=0)
    pieces = (data.learned, data.held_out, data.tested)
    read = [data.tokenizer.decode(piece.tolist()) for piece in pieces]
    assert read == ["abcdefghijklmnop", "qr", "st"]


def test_words_are_measured_by_perplexity_beside_counts_of_words():
    data = words()
    torch.manual_seed(0)
    graph = build_graph(build_task(CONFIG, data).network.eval())
    evaluation = evaluate(CONFIG, data, Runner(graph.model.SerializeToString(), graph.spec))
    (metric,) = evaluation.metrics
    assert (metric.name, metric.lower_is_better) == ("perplexity", True)
    # Untrained, each word is about as likely as any other.
    assert metric.value == pytest.approx(data.num_tokens, rel=0.2)
    assert metric.baseline is not None
    assert np.isfinite(metric.baseline)


def test_tied_scores_are_of_the_vectors_that_tokens_come_in_by():
    network = build_task(CONFIG, words()).network
    assert network.head.weight is network.embedding.weight

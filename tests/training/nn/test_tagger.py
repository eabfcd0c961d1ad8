"""A tagger says at each step what it knows there; a spelled vector folds into one table."""

import pytest
import torch

from training.config import ModelConfig
from training.nn.embedding import TokenEmbedding
from training.nn.tagger import Tagger

LIVE = ModelConfig(cell="lstm", hidden=6, embedding=5)
WHOLE = ModelConfig(cell="lstm", hidden=6, embedding=5, bidirectional=True)


def tagger(config: ModelConfig, *, num_intents: int = 3) -> Tagger:
    torch.manual_seed(0)
    return Tagger(config, 11, num_tags=4, num_intents=num_intents, unknown=1).eval()


def test_the_table_is_what_the_parts_add_up_to():
    torch.manual_seed(0)
    spelling = torch.tensor([[0, 0], [1, 2], [2, 0]])
    embedding = TokenEmbedding(3, 4, spelling)
    torch.testing.assert_close(embedding(torch.arange(3)[None])[0], embedding.table())
    assert torch.equal(embedding.table()[0], embedding.own.weight[0])


def test_the_intent_of_one_that_looks_both_ways_is_the_same_at_every_step():
    tokens, lengths = torch.randint(0, 11, (2, 7)), torch.tensor([7, 4])
    prediction = tagger(WHOLE)(tokens, lengths)
    intents = prediction.outputs[..., 4:]
    assert torch.equal(intents, intents[:, :1].expand_as(intents))
    assert prediction.state == ()


def test_a_causal_one_never_changes_what_it_said():
    tokens = torch.randint(0, 11, (1, 7))
    whole = tagger(LIVE)(tokens).outputs
    begun = tagger(LIVE)(tokens[:, :4])
    torch.testing.assert_close(begun.outputs, whole[:, :4])
    rest = tagger(LIVE)(tokens[:, 4:], None, begun.state)
    torch.testing.assert_close(rest.outputs, whole[:, 4:])


@pytest.mark.parametrize("config", [LIVE, WHOLE])
def test_without_intents_there_are_scores_of_tags_alone(config: ModelConfig):
    assert tagger(config, num_intents=0)(torch.randint(0, 11, (2, 3))).outputs.shape == (2, 3, 4)

"""A tagger's graph is the network, padding and company change nothing, and a live one streams."""

from copy import deepcopy

import pytest
import torch

from training.config import ModelConfig
from training.export.claims import (
    CHUNKS_EQUAL_WHOLE,
    PADDING_CHANGES_NOTHING,
    VerificationError,
)
from training.export.graph import build_graph
from training.export.verify import ONNX_EQUALS_TORCH, verify
from training.nn.tagger import Tagger


def tagger(*, bidirectional: bool, num_intents: int, layers: int = 1, heads: int = 1) -> Tagger:
    torch.manual_seed(3)
    config = ModelConfig(
        cell="lstm",
        hidden=16,
        layers=layers,
        embedding=8,
        bidirectional=bidirectional,
        heads=heads,
    )
    spelling = torch.randint(0, 9, (21, 3))
    return Tagger(
        config, 21, num_tags=5, num_intents=num_intents, unknown=1, spelling=spelling
    ).eval()


def test_several_heads_draw_the_intent_and_tell_where_from():
    network = tagger(bidirectional=True, num_intents=3, heads=2)
    graph = build_graph(network)
    assert verify(network, graph)[PADDING_CHANGES_NOTHING] == 0.0
    assert graph.spec.outputs[1].name == "attention"
    assert graph.spec.outputs[1].shape == ("batch", "time", 2)


def test_weights_that_are_not_the_networks_are_found_out():
    """The scores are the same: what a head draws is put to the use of the other's."""
    network = tagger(bidirectional=True, num_intents=3, heads=2)
    swapped = deepcopy(network)
    assert swapped.pooling is not None
    assert swapped.intent is not None
    with torch.no_grad():
        swapped.pooling.query.weight.copy_(swapped.pooling.query.weight.flip(0))
        by_head = swapped.intent.weight.unflatten(1, (2, -1))
        swapped.intent.weight.copy_(by_head.flip(1).flatten(1))
    with pytest.raises(VerificationError, match=ONNX_EQUALS_TORCH):
        verify(swapped, build_graph(network))


@pytest.mark.slow
@pytest.mark.parametrize("bidirectional", [True, False])
@pytest.mark.parametrize(("num_intents", "layers"), [(0, 1), (3, 1), (3, 2)])
def test_the_graph_is_the_network(bidirectional: bool, num_intents: int, layers: int):
    network = tagger(bidirectional=bidirectional, num_intents=num_intents, layers=layers)
    graph = build_graph(network)
    seen = verify(network, graph)
    assert seen[PADDING_CHANGES_NOTHING] == 0.0
    assert bool(graph.spec.state) == (CHUNKS_EQUAL_WHOLE in seen) == (not bidirectional)
    assert graph.spec.outputs[0].shape == ("batch", "time", 5 + num_intents)

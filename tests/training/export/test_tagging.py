"""A tagger's graph is the network, padding and company change nothing, and a live one streams."""

import pytest
import torch

from training.config import ModelConfig
from training.export.claims import CHUNKS_EQUAL_WHOLE, PADDING_CHANGES_NOTHING
from training.export.graph import build_graph
from training.export.verify import verify
from training.nn.tagger import Tagger


def tagger(*, bidirectional: bool, num_intents: int, layers: int = 1) -> Tagger:
    torch.manual_seed(3)
    config = ModelConfig(
        cell="lstm", hidden=16, layers=layers, embedding=8, bidirectional=bidirectional
    )
    spelling = torch.randint(0, 9, (21, 3))
    return Tagger(
        config, 21, num_tags=5, num_intents=num_intents, unknown=1, spelling=spelling
    ).eval()


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

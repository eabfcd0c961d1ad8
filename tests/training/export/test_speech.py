"""What is heard in the graph is what torch hears, hop by hop, whole and in pieces."""

import numpy as np
import pytest
import torch

from training.config import ModelConfig
from training.export.claims import CHUNKS_EQUAL_WHOLE, PADDING_CHANGES_NOTHING
from training.export.networks import build_graph
from training.export.verify import verify
from training.nn.features import Framing
from training.nn.speech import Listener

FRAMING = Framing(sample_rate=8000, hop=20, mels=12)


def listener(layers: int = 1) -> Listener:
    torch.manual_seed(0)
    config = ModelConfig(cell="gru", hidden=10, layers=layers)
    network = Listener(config, FRAMING, num_outputs=4)
    network.features.normalise_by([0.1 * torch.randn(50, FRAMING.hop)])
    return network.eval()


@pytest.mark.parametrize("layers", [1, 2])
def test_sound_is_heard_alike_in_both_and_in_any_chunks(layers: int):
    made = listener(layers)
    seen = verify(made, build_graph(made))
    assert seen[PADDING_CHANGES_NOTHING] == 0.0
    assert seen[CHUNKS_EQUAL_WHOLE] == 0.0


def test_a_frame_that_spans_two_chunks_is_heard_whole():
    made = listener()
    runner = build_graph(made).runner()
    hops = np.random.default_rng(0).normal(0, 0.1, (1, 5, FRAMING.hop)).astype(np.float32)
    first = runner.run(hops[:, :1])
    np.testing.assert_array_equal(first.state[-1][1, 0], hops[0, 0])  # the overlap
    np.testing.assert_array_equal(first.state[-1][0, 0], np.zeros(FRAMING.hop))
    rest = runner.run(hops[:, 1:], state=first.state)
    whole = runner.run(hops)
    np.testing.assert_array_equal(rest.outputs, whole.outputs[:, 1:])
    forgotten = runner.run(hops[:, 1:], state=(*first.state[:-1], np.zeros_like(first.state[-1])))
    assert np.abs(forgotten.outputs - rest.outputs).max() > 1e-3

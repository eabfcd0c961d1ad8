"""An encoder-decoder looks at valid steps only, and may be cut anywhere in the target."""

from dataclasses import replace

import pytest
import torch

from training.config import ModelConfig
from training.nn.attention import build_attention, valid_steps
from training.nn.encoder_decoder import EncoderDecoder

CONFIG = ModelConfig(
    cell="gru", hidden=6, bidirectional=True, embedding=5, attention="multiplicative", tied=True
)
LENGTHS = torch.tensor([6, 2, 4])
BLIND = replace(CONFIG, attention=None)
STACKED = replace(CONFIG, cell="ln_lstm", layers=3, combine="sum", residual=True, layer_norm=True)
CONFIGS = {
    "gru": CONFIG,
    "blind": BLIND,
    "lstm": replace(CONFIG, cell="lstm", layers=2),
    "stacked": STACKED,
}
every_config = pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)


def network(config: ModelConfig = CONFIG) -> EncoderDecoder:
    torch.manual_seed(0)
    return EncoderDecoder(config, num_source_tokens=11, num_target_tokens=9).eval()


def rows() -> tuple[torch.Tensor, torch.Tensor]:
    torch.manual_seed(1)
    return torch.randint(0, 11, (3, 6)), torch.randint(0, 9, (3, 5))


@every_config
def test_padding_of_the_source_changes_nothing(config: ModelConfig):
    both, (source, target) = network(config), rows()
    other = source.masked_fill(~valid_steps(LENGTHS, 6), 7)
    seen, expected = both(other, LENGTHS, target), both(source, LENGTHS, target)
    torch.testing.assert_close(seen.logits, expected.logits)


@every_config
def test_a_target_may_be_read_in_chunks(config: ModelConfig):
    both, (source, target) = network(config), rows()
    whole = both(source, LENGTHS, target)
    encoded, valid = both.encoder(source, LENGTHS), valid_steps(LENGTHS, 6)
    state, pieces = encoded.state, []
    for chunk in target.split(2, dim=1):
        decoded = both.decoder(chunk, state, encoded.memory, valid=valid, lengths=None)
        state = decoded.state
        pieces.append(decoded.logits)
    torch.testing.assert_close(torch.cat(pieces, dim=1), whole.logits)


def test_the_encoder_is_the_stack_that_its_configuration_says():
    encoder, (source, _) = network(STACKED).encoder, rows()
    stack = encoder.stack
    assert (stack.combine, stack.residual, len(stack.norms)) == ("sum", True, 3)
    encoded = encoder(source, LENGTHS)
    assert encoded.memory.shape == (3, 6, STACKED.hidden)
    assert len(encoded.state) == 4  # h and c of both parts of the decoder


def test_a_decoder_that_looks_says_where():
    decoded = network()(rows()[0], LENGTHS, rows()[1])
    assert decoded.attention is not None
    torch.testing.assert_close(decoded.attention.sum(-1), torch.ones(3, 5))
    hidden = ~valid_steps(LENGTHS, 6).unsqueeze(1).expand(-1, 5, -1)
    assert (decoded.attention[hidden] == 0).all()


def test_a_blind_decoder_knows_the_source_by_its_state_alone():
    both, (source, target) = network(BLIND), rows()
    encoded = both.encoder(source, LENGTHS)
    valid = valid_steps(LENGTHS, 6)
    seen, expected = (
        both.decoder(target, encoded.state, memory, valid=valid, lengths=None)
        for memory in (torch.zeros_like(encoded.memory), encoded.memory)
    )
    assert seen.attention is None
    assert torch.equal(seen.logits, expected.logits)


def test_tied_the_embedding_is_the_output_matrix():
    tied = network().decoder
    assert tied.head.weight is tied.embedding.weight
    untied = network(replace(CONFIG, tied=False)).decoder
    assert untied.head.weight is not untied.embedding.weight


def test_dot_attention_needs_vectors_of_one_width():
    with pytest.raises(ValueError, match="6 and 12 features differ"):
        build_attention("dot", 6, 12, hidden=6, heads=1)


def test_heads_must_part_the_features():
    with pytest.raises(ValueError, match="12 features do not part into 5 heads"):
        build_attention("multi_head", 6, 12, hidden=6, heads=5)

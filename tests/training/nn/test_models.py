"""The networks: what each may see, and what each carries."""

import torch

from service.artifact.scaling import Scaling
from training.config import ModelConfig
from training.nn.models import Forecaster, LanguageModel, SequenceClassifier

SCALING = Scaling(mean=(10.0, -3.0), deviation=(2.0, 0.5))
ROUNDING = 1e-5


def forecaster() -> Forecaster:
    torch.manual_seed(0)
    config = ModelConfig(cell="gru", hidden=6, layers=2, recent_steps=5)
    network = Forecaster(config, SCALING, horizon=3).eval()
    torch.nn.init.normal_(network.head.weight, std=0.1)
    return network


def series(rows: int, steps: int) -> torch.Tensor:
    return torch.randn(rows, steps, 2) * network_deviation() + torch.tensor(SCALING.mean)


def network_deviation() -> torch.Tensor:
    return torch.tensor(SCALING.deviation)


def test_a_forecast_sees_no_later_row():
    network, values = forecaster(), series(1, 12)
    later = values.clone()
    later[:, 8:] += 100
    before, after = network(values).outputs, network(later).outputs
    assert torch.equal(before[:, :8], after[:, :8])
    assert not torch.equal(before[:, 8:], after[:, 8:])


def test_a_forecast_in_chunks_is_the_forecast_in_one():
    network, values = forecaster(), series(2, 12)
    whole = network(values)
    outputs, state = [], None
    for start, end in ((0, 1), (1, 4), (4, 12)):
        prediction = network(values[:, start:end], state=state)
        outputs.append(prediction.outputs)
        state = prediction.state
    torch.testing.assert_close(torch.cat(outputs, 1), whole.outputs, atol=ROUNDING, rtol=0)
    for part, expected in zip(state, whole.state, strict=True):
        torch.testing.assert_close(part, expected, atol=ROUNDING, rtol=0)


def test_the_recent_rows_of_a_ragged_batch_are_those_before_each_end():
    network, values = forecaster(), series(2, 12)
    ragged = network(values, torch.tensor([12, 7]))
    for row, length in enumerate((12, 7)):
        alone = network(values[row : row + 1, :length])
        assert torch.equal(ragged.state[-1][:, row], alone.state[-1][:, 0])
        expected = (values[row, length - 5 : length] - network.mean) / network.deviation
        assert torch.equal(ragged.state[-1][:, row], expected)


def test_an_untrained_forecast_is_half_the_last_rows_and_half_their_mean():
    config = ModelConfig(cell="gru", hidden=6, recent_steps=3)
    network = Forecaster(config, SCALING, horizon=3).eval()
    values = series(1, 3)
    level = values.mean(dim=1, keepdim=True)
    seen = network(values).outputs[:, -1]
    torch.testing.assert_close(seen, level + (values - level) / 2, atol=ROUNDING, rtol=0)


def test_a_level_that_shifts_shifts_the_forecast_and_nothing_else():
    network, values = forecaster(), series(1, 20)
    shift = torch.tensor([40.0, -7.0])
    state = forecaster().initial_state(1)
    moved = (*state[:-1], state[-1] + shift / network.deviation)
    seen = network(values + shift, state=moved).outputs
    torch.testing.assert_close(seen, network(values).outputs + shift, atol=1e-4, rtol=0)


def test_a_classifier_is_blind_to_padding_and_has_no_state():
    config = ModelConfig(cell="lstm", hidden=6, bidirectional=True, embedding=4)
    network = SequenceClassifier(config, 20, [0, 1, 2], unknown=1).eval()
    tokens, lengths = torch.randint(2, 20, (3, 6)), torch.tensor([6, 2, 4])
    prediction = network(tokens, lengths)
    assert prediction.state == ()
    for row, length in enumerate(lengths):
        alone = network(tokens[row : row + 1, :length]).outputs
        torch.testing.assert_close(prediction.outputs[row : row + 1], alone, atol=1e-6, rtol=0)


def test_forgotten_tokens_are_the_unknown_one_and_only_in_training():
    config = ModelConfig(cell="gru", hidden=4, embedding=4, token_dropout=1.0)
    network = SequenceClassifier(config, 20, [0, 1], unknown=1)
    tokens = torch.randint(2, 20, (2, 5))
    unknown = network(torch.ones_like(tokens)).outputs
    assert torch.equal(network(tokens).outputs, unknown)
    network.eval()
    assert not torch.equal(network(tokens).outputs, unknown)


def test_a_language_model_scores_every_token_at_every_step():
    config = ModelConfig(cell="rnn_tanh", hidden=4, embedding=3)
    prediction = LanguageModel(config, 11)(torch.randint(0, 11, (2, 5)))
    assert prediction.outputs.shape == (2, 5, 11)
    assert [part.shape for part in prediction.state] == [(1, 2, 4)]

"""A run of every rarer cell on generated data, each in a stack of another kind: for trials."""

from dataclasses import replace

from training.config import ModelConfig, RunConfig
from training.recipes.tiny import tiny_language, tiny_questions, tiny_series


def tiny_vanilla() -> RunConfig:
    return _like(
        tiny_language(),
        name="tiny-vanilla",
        description="Generated lines by a vanilla recurrent network.",
        model=ModelConfig(cell="rnn_tanh", hidden=32, embedding=8),
    )


def tiny_cho() -> RunConfig:
    return _like(
        tiny_questions(),
        name="tiny-cho",
        description="Generated questions by Cho's GRU, the mean of both directions, two heads.",
        model=ModelConfig(
            cell="gru_cho",
            hidden=8,
            layers=2,
            bidirectional=True,
            combine="mean",
            residual=True,
            embedding=8,
            dropout=0.1,
            heads=2,
        ),
    )


def tiny_min_gru() -> RunConfig:
    return _like(
        tiny_language(),
        name="tiny-min-gru",
        description="Generated lines by three normalised layers of minimal GRUs.",
        model=ModelConfig(
            cell="min_gru", hidden=32, layers=3, embedding=8, residual=True, layer_norm=True
        ),
    )


def tiny_min_lstm() -> RunConfig:
    return _like(
        tiny_series(),
        name="tiny-min-lstm",
        description="Two generated daily waves by minimal LSTMs.",
        model=ModelConfig(
            cell="min_lstm", hidden=8, layers=2, residual=True, dropout=0.1, recent_steps=24
        ),
    )


def tiny_ln_lstm() -> RunConfig:
    return _like(
        tiny_language(),
        name="tiny-ln-lstm",
        description="Generated lines by an LSTM with norms inside of its gates.",
        model=ModelConfig(cell="ln_lstm", hidden=32, embedding=8),
    )


def tiny_ln_gru() -> RunConfig:
    return _like(
        tiny_questions(),
        name="tiny-ln-gru",
        description="Generated questions by GRUs with norms inside, the sum of both directions.",
        model=ModelConfig(
            cell="ln_gru",
            hidden=8,
            layers=2,
            bidirectional=True,
            combine="sum",
            embedding=8,
            dropout=0.1,
        ),
    )


def _like(run: RunConfig, *, name: str, description: str, model: ModelConfig) -> RunConfig:
    return replace(run, name=name, description=description, model=model)

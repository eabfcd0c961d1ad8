"""Digits, as a pen draws them and as pictures."""

from training.config import DataConfig, ModelConfig, OptimConfig, RunConfig


def pen_digits() -> RunConfig:
    return RunConfig(
        name="pen-digits",
        description="Which digit a pen draws, told at every point (two GRU layers).",
        data=DataConfig(dataset="pendigits", batch_size=64, validation_fraction=0.15),
        model=ModelConfig(cell="gru", hidden=96, layers=2, dropout=0.2, reading="strokes"),
        optim=OptimConfig(
            learning_rate=4e-3, max_epochs=14, weight_decay=0.01, label_smoothing=0.05, keep="last"
        ),
    )


def mnist_rows() -> RunConfig:
    return RunConfig(
        name="mnist-rows",
        description="Which digit a picture shows, read row by row (LSTM).",
        data=DataConfig(dataset="mnist-rows", batch_size=64, validation_fraction=0.05),
        model=ModelConfig(cell="lstm", hidden=128, dropout=0.3),
        optim=OptimConfig(
            learning_rate=3e-3, max_epochs=5, weight_decay=0.01, label_smoothing=0.05, keep="last"
        ),
    )

"""Machines that behave oddly."""

from training.config import DataConfig, ModelConfig, OptimConfig, Reference, RunConfig


def water_circuit() -> RunConfig:
    return RunConfig(
        name="water-circuit",
        description="Whether a pump's circuit behaves oddly, told at every second (GRU).",
        data=DataConfig(dataset="skab", batch_size=16, validation_fraction=0.15, looks=8),
        model=ModelConfig(
            cell="gru", hidden=24, dropout=0.2, reading="baseline", baseline_steps=400
        ),
        optim=OptimConfig(learning_rate=5e-3, max_epochs=20, weight_decay=0.01, keep="last"),
        references=(
            Reference(
                "LSTM autoencoder 0.74, convolutional autoencoder 0.78, LSTM 0.54 (F1)",
                "README of waico/SKAB",
            ),
        ),
        caveats=(
            "The first 400 rows of a sequence or session must be normal: it measures all others "
            "against them, and what it says of them means nothing.",
            "It never saw a real fault in training: some were made up by moving sensors off their "
            "level.",
            "One earlier version had been tested, before it was trained long enough (F1 0.40); the "
            "made-up faults of held-out stretches had shown that too.",
            "More than half of the judged rows are anomalies, so that an alarm at every row has "
            "an F1 of 0.70: look at false and missed alarms.",
        ),
    )

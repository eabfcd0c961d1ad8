"""Stocks: what a day's prices tell of the next one, which is next to nothing."""

from training.config import DataConfig, ModelConfig, OptimConfig, Reference, RunConfig


def stock_movement() -> RunConfig:
    return RunConfig(
        name="stock-movement",
        description="Whether a stock rises or falls on the next day, from ten days' prices (GRU).",
        data=DataConfig(dataset="acl18", batch_size=128),
        model=ModelConfig(cell="gru", hidden=16, dropout=0.3),
        optim=OptimConfig(learning_rate=2e-3, max_epochs=6, weight_decay=0.1),
        references=(
            Reference(
                "LSTM 53.18, ALSTM 54.90, Adv-ALSTM 57.20 % accuracy (Feng et al. 2019); a "
                "replication 51.56, 55.00, 56.45",
                "the replication's table",
            ),
        ),
        caveats=(
            "Differences of one or two points are within the noise of the seed: read the spread "
            "in training/RESULTS.md. Nobody should trade on this.",
        ),
    )

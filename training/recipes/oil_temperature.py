"""An electricity transformer, one day ahead: a GRU that corrects what the last day says."""

from training.config import DataConfig, ModelConfig, OptimConfig, Reference, RunConfig


def oil_temperature() -> RunConfig:
    return RunConfig(
        name="oil-temperature",
        description="Load and oil temperature of an electricity transformer, the next 24 hours.",
        data=DataConfig(dataset="etth1", batch_size=16, chunk_steps=336, warm_up_steps=48),
        model=ModelConfig(cell="gru", hidden=64, dropout=0.2, recent_steps=24),
        optim=OptimConfig(learning_rate=2e-3, max_epochs=12, weight_decay=0.01),
        references=(
            Reference(
                "LSTMa 0.650 and LSTnet 1.293 (MSE, 7 variables, horizon 24)",
                "Zhou et al. 2021 (Informer), result tables in zhouhaoyi/Informer2020",
            ),
        ),
        caveats=(
            "Feed at least 24 hours before trusting a forecast: until then the model takes the "
            "hours before the first for average ones.",
            "One transformer in one place: nothing is known of any other.",
        ),
    )

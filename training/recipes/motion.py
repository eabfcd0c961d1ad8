"""People who move, as joints."""

from training.config import DataConfig, ModelConfig, OptimConfig, RunConfig


def body_action() -> RunConfig:
    return RunConfig(
        name="body-action",
        description="What a person does, among ten actions, from a camera's skeletons (GRU).",
        data=DataConfig(dataset="utkinect", batch_size=10, validation_fraction=0.0),
        model=ModelConfig(cell="gru", hidden=64, dropout=0.5, reading="skeleton"),
        optim=OptimConfig(
            learning_rate=3e-3, max_epochs=60, weight_decay=0.05, label_smoothing=0.1, keep="last"
        ),
    )


def aircraft_signal() -> RunConfig:
    return RunConfig(
        name="aircraft-signal",
        description="Which of six signals to an aircraft a person gives, from hands and elbows.",
        data=DataConfig(dataset="natops", batch_size=12, validation_fraction=0.0),
        model=ModelConfig(cell="gru", hidden=64, dropout=0.5, reading="differences"),
        optim=OptimConfig(
            learning_rate=3e-3, max_epochs=60, weight_decay=0.05, label_smoothing=0.1, keep="last"
        ),
    )

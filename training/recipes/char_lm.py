"""Shakespeare, one character after another: two LSTM layers that carry their state for ever."""

from training.config import DataConfig, ModelConfig, OptimConfig, RunConfig


def char_lm() -> RunConfig:
    return RunConfig(
        name="char-lm",
        description="A character language model of Shakespeare's plays (two LSTM layers).",
        data=DataConfig(
            dataset="tinyshakespeare", batch_size=32, chunk_steps=128, validation_fraction=0.05
        ),
        model=ModelConfig(cell="lstm", hidden=256, layers=2, embedding=64, dropout=0.3),
        optim=OptimConfig(learning_rate=5e-3, max_epochs=24, weight_decay=0.01),
        precision="bf16-mixed",
        caveats=(
            "It knows 65 characters; any other is refused.",
            "It was trained on plays alone: names, metre and line breaks come out of it, "
            "meaning does not.",
        ),
    )

"""War and Peace, one character after another: one wide LSTM layer, as published ones have."""

from training.config import DataConfig, ModelConfig, OptimConfig, Reference, RunConfig


def novel_lm() -> RunConfig:
    return RunConfig(
        name="novel-lm",
        description="A character language model of War and Peace (one LSTM layer).",
        data=DataConfig(dataset="war-and-peace", batch_size=64, chunk_steps=100),
        model=ModelConfig(cell="lstm", hidden=512, embedding=64, dropout=0.2),
        optim=OptimConfig(learning_rate=5e-3, max_epochs=4, weight_decay=0.01),
        precision="bf16-mixed",
        references=(
            Reference(
                "the best recurrent network 1.077 nats per character, a 20-gram 1.195",
                "Karpathy, Johnson and Li 2015, as lecture slides give it",
            ),
        ),
        caveats=(
            "It knows the 82 characters of one translation of one novel; any other is refused.",
        ),
    )

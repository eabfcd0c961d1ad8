"""Answers to questions about short stories: read both ways, then pointed at by attention."""

from training.config import DataConfig, ModelConfig, OptimConfig, Reference, RunConfig


def story_questions() -> RunConfig:
    return RunConfig(
        name="story-questions",
        description="The answer to a question at the end of a short story (bidirectional GRU).",
        data=DataConfig(dataset="babi", batch_size=64, longest_story=256),
        model=ModelConfig(
            cell="gru",
            hidden=96,
            bidirectional=True,
            embedding=64,
            dropout=0.2,
            embedding_dropout=0.1,
            heads=2,
            pools_tokens=True,
        ),
        optim=OptimConfig(learning_rate=6e-3, max_epochs=12, weight_decay=0.02, keep="last"),
        references=(
            Reference(
                "LSTM 49 % (mean of 20 networks, one for each task)",
                "Weston et al. 2015, table in the Keras and neon examples",
            ),
        ),
        caveats=(
            "It knows the 160 words and the answers of twenty made-up worlds, and no others.",
            "Send the story first and the question last, as one text: "
            '"Mary went to the office. John moved to the garden. Where is Mary?"',
        ),
    )

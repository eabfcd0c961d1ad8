"""The part of speech of every word of English web text: pieces of words, read both ways."""

from training.config import DataConfig, ModelConfig, OptimConfig, Reference, RunConfig


def part_of_speech() -> RunConfig:
    return RunConfig(
        name="part-of-speech",
        description="The part of speech of every word of a text (bidirectional LSTM).",
        data=DataConfig(dataset="ewt", batch_size=32, num_pieces=3000),
        model=ModelConfig(
            cell="lstm",
            hidden=128,
            bidirectional=True,
            embedding=64,
            dropout=0.4,
            embedding_dropout=0.2,
            spelling=True,
        ),
        optim=OptimConfig(learning_rate=4e-3, max_epochs=6, weight_decay=0.02, keep="last"),
        references=(
            Reference(
                "feature-based logistic regression 94.2 %, BERT 97.4 % (dev; neither is recurrent)",
                "a model card, read for the data's own page",
            ),
        ),
        caveats=(
            "Measured on words as the treebank cuts them. Text that is sent is cut by rules that "
            "come close to its own, hyphens and rare contractions apart.",
            "English of the web: reviews, answers, mail, news groups and weblogs.",
        ),
    )

"""Whether a sentence of a film review is for or against: phrases teach, sentences are asked."""

from training.config import DataConfig, ModelConfig, OptimConfig, Reference, RunConfig


def sentiment() -> RunConfig:
    return RunConfig(
        name="sentiment",
        description="Whether a sentence is positive or negative (bidirectional LSTM).",
        data=DataConfig(dataset="sst2", batch_size=64, num_pieces=8000),
        model=ModelConfig(
            cell="lstm",
            hidden=96,
            bidirectional=True,
            embedding=96,
            dropout=0.5,
            embedding_dropout=0.4,
            token_dropout=0.05,
            spelling=True,
        ),
        optim=OptimConfig(learning_rate=4e-3, max_epochs=3, weight_decay=0.1, keep="last"),
        references=(
            Reference(
                "2-layer LSTM 86.3 % accuracy, from GloVe vectors, which this model does without",
                "Tai et al. 2015",
            ),
        ),
        caveats=(
            "Sentences of film reviews; there is no neutral answer.",
            "No word vectors from other text: words that the treebank lacks are known by their "
            "pieces alone.",
        ),
    )

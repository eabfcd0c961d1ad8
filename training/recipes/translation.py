"""Captions from German to English: a GRU reads both ways, another writes and looks back."""

from training.config import DataConfig, ModelConfig, OptimConfig, Reference, RunConfig, SearchConfig


def german_english() -> RunConfig:
    return RunConfig(
        name="german-english",
        description="Captions of photographs from German to English (GRU with attention).",
        data=DataConfig(dataset="multi30k", batch_size=96, source_tokens=3000, target_tokens=3000),
        model=ModelConfig(
            cell="gru",
            hidden=256,
            bidirectional=True,
            embedding=160,
            dropout=0.3,
            embedding_dropout=0.2,
            attention="multiplicative",
            tied=True,
        ),
        optim=OptimConfig(
            learning_rate=3e-3, max_epochs=12, weight_decay=0.01, label_smoothing=0.1, keep="last"
        ),
        references=(
            Reference(
                "GRU with attention 28.3 BLEU, GRU without 20.6, LSTM without 13.8 (test2016, "
                "words of spaCy, greedy)",
                "outputs in bentrevett/pytorch-seq2seq",
            ),
        ),
        caveats=(
            "It was trained on captions of photographs alone: it knows what is seen in them.",
            "It writes lower-cased words with spaces before punctuation, as its data has them.",
        ),
        examples=(
            "ein kleiner junge in einem roten hemd spielt mit seinem hund im park .",
            "zwei alte frauen sitzen auf einer bank und lesen zeitung .",
            "ein mann mit einem blauen helm fährt auf einem fahrrad über die brücke .",
            "drei kinder bauen am strand eine burg aus sand .",
        ),
        search=SearchConfig(beam_width=10, length_penalty=1.5, max_tokens=60),
        precision="bf16-mixed",
    )

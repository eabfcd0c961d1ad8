"""What a question about flights is made of and what it wants: all at once, or while it is heard."""

from dataclasses import replace

from training.config import DataConfig, ModelConfig, OptimConfig, Reference, RunConfig


def flight_question() -> RunConfig:
    return RunConfig(
        name="flight-question",
        description="Slots and intent of a question about flights (bidirectional LSTM).",
        data=DataConfig(dataset="atis", batch_size=32, num_pieces=1000),
        model=ModelConfig(
            cell="lstm",
            hidden=128,
            bidirectional=True,
            embedding=96,
            dropout=0.5,
            embedding_dropout=0.4,
            token_dropout=0.05,
        ),
        optim=OptimConfig(learning_rate=6e-3, max_epochs=14, weight_decay=0.02, keep="last"),
        references=(
            Reference(
                "slot F1 / intent accuracy: Slot-Gated BLSTM with attention 95.20 / 94.10, "
                "SF-ID BLSTM 95.80 / 97.76",
                "NLP-progress",
            ),
        ),
        caveats=(
            "Learned from small letters: text that is sent should have no capitals.",
            "Flights inside the United States, as asked for in 1990.",
        ),
    )


def flight_question_live() -> RunConfig:
    """One tag a step, and at each step what the question seems to want so far."""
    whole = flight_question()
    return replace(
        whole,
        name="flight-question-live",
        description="Slots and intent of a question about flights, word by word (causal LSTM).",
        model=replace(whole.model, bidirectional=False, hidden=112, embedding=64),
        caveats=(
            *whole.caveats,
            "A slot is named when its last token is heard, without what follows: the one that "
            "reads both ways is better.",
        ),
    )

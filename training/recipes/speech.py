"""Spoken digits: one at a time, by people who are known or not, and strings of them."""

from dataclasses import replace

from training.config import DataConfig, ModelConfig, OptimConfig, RunConfig


def spoken_digit() -> RunConfig:
    return RunConfig(
        name="spoken-digit",
        description="Which digit is said, told every ten milliseconds (GRU on log-mel energies).",
        data=DataConfig(dataset="fsdd", batch_size=64),
        model=ModelConfig(cell="gru", hidden=96, layers=2, dropout=0.3),
        optim=OptimConfig(
            learning_rate=4e-3, max_epochs=40, weight_decay=0.01, label_smoothing=0.05, keep="last"
        ),
        caveats=(
            "It knows six people, who are the same in training and in test; of a stranger it "
            "knows much less: `recur train stranger-digit` measures that.",
            "Send samples at 8 kHz from -1 to 1; a step is a hop of 80 of them. What is said at "
            "a word's end counts; after a long silence it may change its mind.",
        ),
    )


def stranger_digit() -> RunConfig:
    config = spoken_digit()
    return replace(
        config,
        name="stranger-digit",
        description="Which digit a person says who was never heard before.",
        data=replace(config.data, dataset="fsdd-stranger"),
        caveats=("Five people are too few to learn how a sixth one speaks.",),
    )


def digit_string() -> RunConfig:
    return RunConfig(
        name="digit-string",
        description="Digits as they are said one after the other (GRU on log-mel energies, CTC).",
        data=DataConfig(dataset="fsdd-strings", batch_size=8),
        model=ModelConfig(cell="gru", hidden=112, layers=2, dropout=0.2),
        optim=OptimConfig(learning_rate=3e-3, max_epochs=44, weight_decay=0.01, keep="last"),
        caveats=(
            "Strings are joined from single recordings of one person, with pauses of up to a "
            "quarter of a second: nobody has said them in one breath.",
            "It knows six people, who are the same in training and in test.",
            "Send samples at 8 kHz from -1 to 1; a step is a hop of 80 of them.",
        ),
    )

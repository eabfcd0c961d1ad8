"""A run of every kind on generated data: seconds, nothing to download."""

from dataclasses import replace

from training.config import DataConfig, ModelConfig, OptimConfig, RunConfig, SearchConfig


def tiny_language() -> RunConfig:
    return RunConfig(
        name="tiny-language",
        description="A character language model of generated lines.",
        data=DataConfig("generated-text", batch_size=8, chunk_steps=32),
        model=ModelConfig(cell="gru", hidden=32, embedding=8),
        optim=OptimConfig(learning_rate=2e-2, max_epochs=3),
    )


def tiny_questions() -> RunConfig:
    return RunConfig(
        name="tiny-questions",
        description="The kind of answer a generated question asks for.",
        data=DataConfig("generated-questions", batch_size=16),
        model=ModelConfig(cell="lstm", hidden=8, bidirectional=True, embedding=8, dropout=0.1),
        optim=OptimConfig(learning_rate=2e-2, max_epochs=3, label_smoothing=0.1),
    )


def tiny_wishes() -> RunConfig:
    return RunConfig(
        name="tiny-wishes",
        description="From where to where a generated wish is, and what it wants.",
        data=DataConfig("generated-wishes", batch_size=8, num_pieces=80),
        model=ModelConfig(
            cell="lstm", hidden=16, bidirectional=True, embedding=16, dropout=0.1, spelling=True
        ),
        optim=OptimConfig(learning_rate=2e-2, max_epochs=3),
    )


def tiny_wishes_live() -> RunConfig:
    config = tiny_wishes()
    return replace(
        config, name="tiny-wishes-live", model=replace(config.model, bidirectional=False)
    )


def tiny_pairs() -> RunConfig:
    return RunConfig(
        name="tiny-pairs",
        description="Generated sentences from German to English.",
        data=DataConfig("generated-pairs", batch_size=20, source_tokens=100, target_tokens=100),
        model=ModelConfig(
            cell="gru",
            hidden=32,
            bidirectional=True,
            embedding=24,
            attention="multiplicative",
            tied=True,
        ),
        optim=OptimConfig(learning_rate=2e-2, max_epochs=4),
        search=SearchConfig(beam_width=3, length_penalty=0.6, max_tokens=20),
    )


def tiny_pairs_blind() -> RunConfig:
    config = tiny_pairs()
    return replace(
        config,
        name="tiny-pairs-blind",
        description="Generated sentences from German to English, without looking back.",
        model=replace(config.model, attention=None, residual=True, layers=2),
    )


def tiny_series() -> RunConfig:
    return RunConfig(
        name="tiny-series",
        description="Two generated daily waves, four hours ahead.",
        data=DataConfig("generated-series", batch_size=8, chunk_steps=72, warm_up_steps=24),
        model=ModelConfig(cell="gru", hidden=8, dropout=0.1, recent_steps=24),
        optim=OptimConfig(learning_rate=1e-2, max_epochs=3),
    )


def tiny_rhythms() -> RunConfig:
    return RunConfig(
        name="tiny-rhythms",
        description="Generated waves of any level, four hours ahead, with bands.",
        data=DataConfig("generated-rhythms", batch_size=8, chunk_steps=48, warm_up_steps=12),
        model=ModelConfig(
            cell="gru", hidden=8, recent_steps=12, seasons=(6,), quantiles=(0.1, 0.5, 0.9)
        ),
        optim=OptimConfig(learning_rate=1e-2, max_epochs=3),
    )


def tiny_waves() -> RunConfig:
    return RunConfig(
        name="tiny-waves",
        description="Whether a generated wave is slow or fast, told at every step.",
        data=DataConfig("generated-waves", batch_size=8),
        model=ModelConfig(cell="gru", hidden=8, dropout=0.1, reading="differences"),
        optim=OptimConfig(learning_rate=2e-2, max_epochs=3),
    )


def tiny_wear() -> RunConfig:
    return RunConfig(
        name="tiny-wear",
        description="How many steps a generated part has left.",
        data=DataConfig("generated-wear", batch_size=8),
        model=ModelConfig(cell="rnn_tanh", hidden=8),
        optim=OptimConfig(learning_rate=2e-2, max_epochs=3),
    )


def tiny_wear_along() -> RunConfig:
    config = tiny_wear()
    return replace(
        config,
        name="tiny-wear-along",
        description="How many steps a generated part has left, told at every step.",
        data=replace(config.data, every_step=True),
    )


def tiny_oddities() -> RunConfig:
    return RunConfig(
        name="tiny-oddities",
        description="Whether two generated sensors have left their level.",
        data=DataConfig("generated-oddities", batch_size=8, looks=2),
        model=ModelConfig(cell="gru", hidden=8, reading="baseline", baseline_steps=40),
        optim=OptimConfig(learning_rate=2e-2, max_epochs=3),
    )


def tiny_tones() -> RunConfig:
    return RunConfig(
        name="tiny-tones",
        description="How high a generated tone is, told every ten milliseconds.",
        data=DataConfig("generated-tones", batch_size=8),
        model=ModelConfig(cell="gru", hidden=16),
        optim=OptimConfig(learning_rate=2e-2, max_epochs=3),
    )


def tiny_tunes() -> RunConfig:
    return RunConfig(
        name="tiny-tunes",
        description="Generated tones as they come one after the other.",
        data=DataConfig("generated-tunes", batch_size=8, looks=2),
        model=ModelConfig(cell="gru", hidden=32),
        optim=OptimConfig(learning_rate=2e-2, max_epochs=8, keep="last"),
    )

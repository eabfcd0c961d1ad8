"""Subject lines of e-mails: a GRU reads both ways, another writes a few words and looks back."""

from training.config import DataConfig, ModelConfig, OptimConfig, Reference, RunConfig, SearchConfig


def subject_line() -> RunConfig:
    return RunConfig(
        name="subject-line",
        description="A subject line for an e-mail (GRU with attention); not to be published.",
        data=DataConfig(dataset="aeslc", batch_size=96, source_tokens=4000, target_tokens=3000),
        model=ModelConfig(
            cell="gru",
            hidden=128,
            bidirectional=True,
            embedding=128,
            dropout=0.3,
            embedding_dropout=0.2,
            attention="additive",
            tied=True,
        ),
        optim=OptimConfig(
            learning_rate=1.5e-3, max_epochs=8, weight_decay=0.01, label_smoothing=0.1
        ),
        references=(
            Reference(
                "ROUGE-1 23.67 (extractor and abstractor of LSTMs, with reinforcement)",
                "results page of Zhang and Tetreault 2019",
            ),
        ),
        caveats=(
            "The data is e-mail of real persons under a licence that forbids commerce: train it "
            "to measure, and do not pass it on.",
            "It cannot copy: names that it does not know become others.",
        ),
        examples=(
            "hi all , the weekly status meeting is moved from tuesday to thursday at 3 pm in the "
            "large conference room . please bring your updates . thanks",
            "attached is the draft of the contract . please review it and let me know if you have "
            "any comments before friday .",
        ),
        search=SearchConfig(beam_width=5, length_penalty=1.0, max_tokens=20),
    )

"""Machines that wear out: what is left of a turbofan, and what is wrong with a bearing."""

from training.config import DataConfig, ModelConfig, OptimConfig, Reference, RunConfig


def turbofan_life() -> RunConfig:
    return RunConfig(
        name="turbofan-life",
        description="How many cycles a turbofan engine has left, told at every cycle (GRU).",
        data=DataConfig(dataset="cmapss-fd001", batch_size=8, validation_fraction=0.15),
        model=ModelConfig(cell="gru", hidden=64, dropout=0.3),
        optim=OptimConfig(learning_rate=3e-3, max_epochs=30, weight_decay=0.01, keep="last"),
        references=(
            Reference(
                "deep LSTM 16.14 (Zheng et al. 2017), single-layer LSTM 14.93 (RMSE)",
                "abstract of arXiv 2604.27234",
            ),
        ),
    )


def bearing_fault() -> RunConfig:
    return RunConfig(
        name="bearing-fault",
        description="Which fault a motor's bearing has, heard frame by frame (GRU on spectra).",
        data=DataConfig(dataset="cwru", batch_size=32, validation_fraction=0.15),
        model=ModelConfig(cell="gru", hidden=64, dropout=0.3, reading="spectrum"),
        optim=OptimConfig(learning_rate=3e-3, max_epochs=10, weight_decay=0.01, keep="last"),
    )

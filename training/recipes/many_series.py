"""Many series, one network, forecasts in bands."""

from training.config import DataConfig, ModelConfig, OptimConfig, Reference, RunConfig

_QUANTILES = (0.1, 0.5, 0.9)


def hourly_series() -> RunConfig:
    return RunConfig(
        name="hourly-series",
        description="Any hourly series, the next 48 hours with bands, from its last week (GRU).",
        data=DataConfig(dataset="m4-hourly", batch_size=16, chunk_steps=504, warm_up_steps=168),
        model=ModelConfig(
            cell="gru",
            hidden=64,
            dropout=0.2,
            recent_steps=168,
            seasons=(24, 168),
            quantiles=_QUANTILES,
        ),
        optim=OptimConfig(learning_rate=3e-3, max_epochs=6, weight_decay=0.01),
        references=(
            Reference(
                "sMAPE / MASE: the organisers' RNN 14.698 / 3.048, their MLP 13.842 / 2.607, the "
                "winner ES-RNN 9.328 / 0.893",
                "Evaluation and Ranks.xlsx of Mcompetitions/M4-methods",
            ),
        ),
        caveats=(
            "Feed at least a week (168 hours) before trusting a forecast: until then the model "
            "takes the hours before the first for zeros.",
            "It knows days of 24 hours and weeks of 168, and begins from both: of a series with "
            "other rhythms it knows nothing.",
            "Its bands are a little wide: 85 % of what came lay in a band that is meant to hold "
            "80 %.",
            "Settings were chosen on the 48 hours before the competition's own; test was looked "
            "at once.",
        ),
    )


def exchange_rate() -> RunConfig:
    return RunConfig(
        name="exchange-rate",
        description="A currency's rate against the dollar, the next 24 days with bands (GRU).",
        data=DataConfig(dataset="exchange-rates", batch_size=16, chunk_steps=252, warm_up_steps=30),
        model=ModelConfig(
            cell="gru",
            hidden=16,
            dropout=0.2,
            recent_steps=30,
            seasons=(1,),
            quantiles=_QUANTILES,
        ),
        optim=OptimConfig(learning_rate=3e-3, max_epochs=40, weight_decay=0.1),
        references=(
            Reference(
                "RSE at 3, 6, 12, 24 days: RNN-GRU 0.0192, 0.0264, 0.0408, 0.0626; LSTNet-skip "
                "0.0226, 0.0280, 0.0356, 0.0449",
                "Lai et al. 2018 (LSTNet), quoted from memory, not read again",
            ),
        ),
        caveats=(
            "The last value repeated is as good a forecast: what the model adds are bands.",
            "Feed at least 30 days before trusting a forecast.",
        ),
    )

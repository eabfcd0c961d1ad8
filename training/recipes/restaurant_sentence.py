"""A sentence about a restaurant from slots and values: an encoder-decoder leaves names open."""

from training.config import DataConfig, ModelConfig, OptimConfig, Reference, RunConfig, SearchConfig


def restaurant_sentence() -> RunConfig:
    return RunConfig(
        name="restaurant-sentence",
        description="A sentence about a restaurant from its slots and values (GRU with attention).",
        data=DataConfig(
            dataset="e2e", batch_size=64, source_tokens=500, target_tokens=1200, looks=3
        ),
        model=ModelConfig(
            cell="gru",
            hidden=128,
            bidirectional=True,
            embedding=96,
            dropout=0.2,
            embedding_dropout=0.1,
            attention="multiplicative",
            tied=True,
        ),
        optim=OptimConfig(
            learning_rate=3e-3, max_epochs=12, weight_decay=0.01, label_smoothing=0.05
        ),
        references=(
            Reference(
                "BLEU 65.93, NIST 8.609, ROUGE-L 68.50 (TGen, LSTM with attention and a reranker)",
                "results page of the E2E NLG challenge",
            ),
        ),
        caveats=(
            "It writes `value_name` and `value_near` where names belong; who serves it fills them "
            "in.",
            "It reads slots in the order that they have in E2E: name, eattype, food, pricerange, "
            "customer rating, area, familyfriendly, near.",
            "It may leave out what it was to say: read what it writes before you publish it.",
        ),
        examples=(
            "name , eattype pub , food italian , pricerange cheap , area riverside , near",
            "name , food indian , customer rating high , familyfriendly yes",
            "name , eattype coffee shop , area city centre",
            "name , eattype restaurant , food french , pricerange more than £30 , "
            "customer rating 5 out of 5 , area city centre , familyfriendly no , near",
        ),
        search=SearchConfig(beam_width=5, length_penalty=1.0, max_tokens=80),
    )

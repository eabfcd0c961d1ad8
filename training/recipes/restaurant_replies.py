"""Replies about restaurants: an encoder-decoder that says which slot to fill, not with what."""

from training.config import DataConfig, ModelConfig, OptimConfig, Reference, RunConfig, SearchConfig


def restaurant_replies() -> RunConfig:
    return RunConfig(
        name="restaurant-replies",
        description="The next reply to someone who looks for a restaurant (GRU with attention).",
        data=DataConfig(
            dataset="camrest676", batch_size=32, source_tokens=1000, target_tokens=1000
        ),
        model=ModelConfig(
            cell="gru",
            hidden=128,
            bidirectional=True,
            embedding=96,
            dropout=0.3,
            embedding_dropout=0.2,
            attention="additive",
            tied=True,
        ),
        optim=OptimConfig(
            learning_rate=2e-3, max_epochs=20, weight_decay=0.01, label_smoothing=0.05
        ),
        references=(
            Reference(
                "BLEU 24.6 (neural dialogue manager with attention, 23.7 without, LIDM 25.8; they "
                "know the database and track the user's goals)",
                "figures in shawnwun/NNDIAL",
            ),
        ),
        caveats=(
            "It writes `value_name`, `value_food` and so on where a value of the database belongs, "
            "and reads them so, too.",
            "Replies found likeliest are too short: a length penalty of 2 had the highest BLEU on "
            "validation, where it was chosen before the goals were among what it reads.",
            "It is told what the user asks for so far, and how many restaurants match: who serves "
            "it has to keep track of both. In the figures they come from the data's annotation, "
            "without a tracker's errors; the published systems track the user's goals themselves.",
        ),
        examples=(
            "food told area open pricerange open matches many asks |  | i am looking for a place "
            "that serves value_food food .",
            "food told area told pricerange any matches 0 asks | what price range would you like ? "
            "| any price is fine .",
            "food any area told pricerange told matches 2 asks phone | value_name is a nice place "
            "in the value_area . | what is their phone number ?",
            "food any area told pricerange told matches 2 asks | their number is value_phone . | "
            "thank you , goodbye .",
        ),
        search=SearchConfig(beam_width=5, length_penalty=2.0, max_tokens=60),
    )

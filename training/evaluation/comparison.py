"""What integers cost: both graphs' figures on the same data, and when that is too much."""

from collections.abc import Sequence
from dataclasses import dataclass

from service.artifact.manifest import Metric

MAX_LOSS = 0.005
"""Relative: half a percent of the figure that float32 reaches."""


class AccuracyLost(Exception):
    """A graph in integers is too much worse than the one that it was made from."""


@dataclass(frozen=True, slots=True)
class Compared:
    """One figure of both graphs."""

    floats: Metric
    integers: Metric

    @property
    def loss(self) -> float:
        """Relative to float32; below zero where integers happen to do better."""
        worse = self.integers.value - self.floats.value
        signed = worse if self.floats.lower_is_better else -worse
        return signed / abs(self.floats.value) if signed else 0.0

    @property
    def metric(self) -> Metric:
        """The integers' figure as the manifest keeps it, beside float32's."""
        renamed = {"name": f"{self.integers.name}, int8", "reference": ""}
        beside = {"baseline": self.floats.value, "baseline_name": "float32"}
        return self.integers.model_copy(update=renamed | beside)


def compare(floats: Sequence[Metric], integers: Sequence[Metric]) -> tuple[Compared, ...]:
    """Raises AccuracyLost for the first figure that lost more than is allowed."""
    compared = tuple(Compared(one, other) for one, other in zip(floats, integers, strict=True))
    for pair in compared:
        if not pair.loss <= MAX_LOSS:
            values = f"from {pair.floats.value:.4f} to {pair.integers.value:.4f}"
            raise AccuracyLost(
                f"int8 loses too much: {pair.floats.name} goes {values}, {pair.loss:.2%} worse, "
                f"and {MAX_LOSS:.2%} is allowed"
            )
    return compared

"""Standard scores of features, from the training split: one value on both sides."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator


class Scaling(BaseModel):
    """`(x - mean) / deviation`, a number of each for every feature."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    mean: tuple[float, ...] = Field(min_length=1)
    deviation: tuple[float, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _lengths_agree(self) -> "Scaling":
        if len(self.mean) != len(self.deviation):
            raise ValueError(f"{len(self.mean)} means, {len(self.deviation)} deviations")
        if any(d <= 0 for d in self.deviation):
            raise ValueError("every deviation must be above 0")
        return self

    @classmethod
    def fit(cls, values: NDArray[np.floating[Any]]) -> "Scaling":
        """From `values [rows, features]`; a constant feature gets deviation 1."""
        deviation = values.std(axis=0)
        deviation = np.where(deviation == 0, 1.0, deviation)
        return cls(mean=_floats(values.mean(axis=0)), deviation=_floats(deviation))

    def apply(self, values: NDArray[np.floating[Any]]) -> NDArray[np.floating[Any]]:
        """Scale `values [..., features]`."""
        return (values - np.array(self.mean)) / np.array(self.deviation)

    def invert(self, values: NDArray[np.floating[Any]]) -> NDArray[np.floating[Any]]:
        """Back to the original units, `[..., features]`."""
        return values * np.array(self.deviation) + np.array(self.mean)


def _floats(values: Sequence[float] | NDArray[np.floating[Any]]) -> tuple[float, ...]:
    return tuple(float(value) for value in values)

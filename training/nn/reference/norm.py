"""Layer normalisation of every step, and its derivative. NumPy, float64."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from training.nn.reference.recurrence import Array, Rows, valid_steps

EPSILON = 1e-5
"""Added to the variance, as torch and ONNX do unless told otherwise."""


@dataclass(frozen=True, slots=True)
class NormWeights:
    gain: Array
    """`[features]`"""
    shift: Array
    """`[features]`"""


@dataclass(frozen=True, slots=True)
class NormGradients:
    inputs: Array
    weights: NormWeights


@dataclass(frozen=True, slots=True)
class Normalised:
    outputs: Array
    """`[batch, time, features]`, zero past a row's length."""
    back: Callable[[Array], NormGradients]


@dataclass(frozen=True, slots=True)
class Standard:
    u: Array
    """Of mean 0 and variance 1 over the last axis, but for epsilon."""
    back: Callable[[Array], Array]


def standardise(x: Array) -> Standard:
    """u = (x - mean) / sqrt(variance + epsilon) over the last axis."""
    scale = 1 / np.sqrt(x.var(-1, keepdims=True) + EPSILON)
    u = (x - x.mean(-1, keepdims=True)) * scale

    def back(d_u: Array) -> Array:
        """d_u loses its mean and its part along u: neither shift nor stretch of x changes u."""
        along = u * (d_u * u).mean(-1, keepdims=True)
        return scale * (d_u - d_u.mean(-1, keepdims=True) - along)

    return Standard(u, back)


def normalise(rows: Rows, weights: NormWeights) -> Normalised:
    """y = gain * u + shift, u = (x - mean) / sqrt(variance + epsilon) over a step's features.

    Ba, Kiros and Hinton 2016 (arXiv 1607.06450), equation 4, of a layer's outputs.
    """
    valid = valid_steps(rows)[..., None]
    standard = standardise(rows.inputs)

    def back(d_outputs: Array) -> NormGradients:
        d_outputs = np.where(valid, d_outputs, 0.0)
        d_weights = NormWeights((d_outputs * standard.u).sum((0, 1)), d_outputs.sum((0, 1)))
        return NormGradients(standard.back(d_outputs * weights.gain), d_weights)

    return Normalised(np.where(valid, weights.gain * standard.u + weights.shift, 0.0), back)

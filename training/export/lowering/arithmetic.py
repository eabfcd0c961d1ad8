"""Products of bytes: numbers of a known range times weights with a scale for each column.

A product of bytes is summed exactly in 32 bits, which is why a row's answer cannot depend on its
company.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training.export.draft import Draft
from training.export.lowering.finished import Head, Weights

_STEPS_OF_ONE = 127
"""Bytes from 1 to 255 around the zero point 128: as many on both sides."""
_ZERO = 128


@dataclass(frozen=True, slots=True)
class Bytes:
    """A tensor of bytes, and the constant that turns them into numbers."""

    tensor: str
    scale: str


def add_bounded(draft: Draft, tensor: str, output: str) -> Bytes:
    """Numbers in (-1, 1) as bytes: one scale is right for every row, without calibration."""
    scale = draft.number("state_scale", 1 / _STEPS_OF_ONE)
    return Bytes(draft.add("QuantizeLinear", [tensor, scale, _zero(draft)], output), scale)


def add_rows(draft: Draft, table: Weights, *, tokens: str, output: str) -> Bytes:
    """Rows of a constant table, whose range is known too, by token."""
    scale = float(np.abs(table).max()) / _STEPS_OF_ONE or 1.0
    rows = (np.rint(table / scale) + _ZERO).astype(np.uint8)
    tensor = draft.add("Gather", [draft.constant(f"{output}_table", rows), tokens], output)
    return Bytes(tensor, draft.constant(f"{output}_scale", np.array(scale, np.float32)))


def add_head(draft: Draft, head: Head) -> None:
    """The product behind a bounded tensor, with the bias added in one node."""
    source = add_bounded(draft, head.source, f"{head.output}_bytes")
    add_product(draft, source, head.weights, output=head.output, bias=head.bias)


def add_product(
    draft: Draft, source: Bytes, weights: Weights, *, output: str, bias: Weights | None = None
) -> str:
    """`source [..., features]` times `[features, columns]`, as float32."""
    integers, scales = quantize_columns(weights)
    columns = weights.shape[1]
    inputs = [
        source.tensor,
        draft.constant(f"{output}_integers", integers),
        source.scale,
        draft.constant(f"{output}_scales", scales),
        _zero(draft),
        draft.shared(f"zeros_{columns}", np.zeros(columns, np.int8)),
    ]
    if bias is not None:
        inputs.append(draft.constant(f"{output}_integer_bias", bias))
    return draft.add("MatMulIntegerToFloat", inputs, output)


def quantize_columns(weights: Weights) -> tuple[NDArray[np.int8], Weights]:
    """`[rows, columns]` as signed bytes and a scale for each column."""
    scales = np.abs(weights).max(axis=0) / _STEPS_OF_ONE
    scales[scales == 0] = 1.0
    return np.rint(weights / scales).astype(np.int8), scales.astype(np.float32)


def _zero(draft: Draft) -> str:
    return draft.shared("zero_byte", np.array(_ZERO, np.uint8))

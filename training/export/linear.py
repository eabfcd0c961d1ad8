"""A linear layer, as nodes: a product with constants and a sum."""

import numpy as np
from numpy.typing import NDArray
from torch import nn

from training.export.draft import Draft
from training.export.weights import array


def add_linear(
    draft: Draft, tensor: str, name: str, layer: nn.Linear, *, output: str | None = None
) -> str:
    """`layer` of `tensor`; the result is called `output`, else `name`, which begins the others."""
    weights, bias = array(layer.weight).T, array(layer.bias)
    return add_product(draft, tensor, name, weights=weights, bias=bias, output=output)


def add_product(
    draft: Draft,
    tensor: str,
    name: str,
    *,
    weights: NDArray[np.float32],
    bias: NDArray[np.float32],
    output: str | None = None,
) -> str:
    """`tensor @ weights + bias`; `weights [inputs, outputs]`."""
    factor = draft.constant(f"{name}_weights", weights)
    shift = draft.constant(f"{name}_bias", bias)
    product = draft.add("MatMul", [tensor, factor], f"{name}_product")
    return draft.add("Add", [product, shift], output or name)

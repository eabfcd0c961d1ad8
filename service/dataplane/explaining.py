"""Why a model answered as it did, as far as it can tell: which steps it looked at."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.artifact.tasks import ClassificationOutput, Seq2SeqOutput, TaggingOutput
from service.dataplane.types import Attention
from service.errors import InvalidInput
from service.registry.served_model import ServedModel


def attention_output(model: ServedModel) -> str:
    """The name of the output that tells. Raises InvalidInput where there is none."""
    output = model.manifest.output
    tells = isinstance(output, ClassificationOutput | Seq2SeqOutput | TaggingOutput)
    name = output.attention if tells else None
    if name is None:
        raise InvalidInput(
            f"{model.manifest.name} does not tell what its answers are made of", param="explain"
        )
    return name


def attention_of(
    model: ServedModel, weights: NDArray[np.float32], steps: NDArray[Any]
) -> Attention:
    """`weights [steps, heads]`, of the sequence that `steps` was."""
    text, by_head = model.text, weights.T
    tokens = None if text is None else [text.token(token) for token in steps.tolist()]
    return Attention(by_head[0] if len(by_head) == 1 else by_head, tokens)

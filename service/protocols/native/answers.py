"""Predictions are written where they hold nobody up: long ones in a thread, and in pieces."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from service.dataplane.types import Anomalies, Feed, Likelihood, Prediction, Tagging, Written
from service.errors import RecurError
from service.protocols.reply import to_json, to_json_in_pieces

T = TypeVar("T")

ToJson = Callable[[Any], bytes]

_LONG_ITEMS = 20_000
"""Numbers and texts beyond which writing takes more than a millisecond or two."""


async def written(
    results: Sequence[Prediction | Feed | RecurError], write: Callable[[ToJson], T]
) -> T:
    """What `write` makes of `results`, given how JSON is best written."""
    num_items = 0
    for result in results:
        value = result.reply.prediction if isinstance(result, Feed) else result
        if isinstance(value, Prediction):
            if value.outputs is not None:
                num_items += sum([array.size for array in value.outputs.values()])
            if isinstance(value.answer, Anomalies | Likelihood | Tagging):
                num_items += 2 * value.steps
            if isinstance(value.answer, Written) and value.answer.alignment is not None:
                num_items += value.answer.alignment.weights.size
            if value.attention is not None:
                num_items += value.attention.weights.size + value.steps
    if num_items <= _LONG_ITEMS:
        return write(to_json)
    return await asyncio.to_thread(write, to_json_in_pieces)

"""A long answer is that of a short one, written in pieces."""

import threading
from typing import Any

import numpy as np
import pytest

from service.dataplane.types import (
    Feed,
    Forecast,
    Likelihood,
    Prediction,
    Predictions,
    StepReply,
)
from service.errors import ModelFailed
from service.protocols.native import render
from service.protocols.native.answers import ToJson, written
from service.protocols.reply import to_json, to_json_in_pieces

RNG = np.random.default_rng(7)


def numbers(*shape: int) -> np.ndarray:
    return RNG.standard_normal(shape).astype(np.float32)


@pytest.mark.parametrize(
    "content",
    [
        {},
        {"a": [], "b": [{}], "c": None, "d": np.zeros((0, 3), np.float32)},
        {"a": numbers(40_000)},
        {"a": numbers(7, 9_999)},
        {"a": numbers(3, 30_001)},
        {"a": numbers(2, 3, 20_000), "b": numbers(20_001, 1, 2)[:, :, ::-1]},
        {"a": numbers(30_000, 0)},
        {"a": np.full(30_000, np.nan), "b": np.arange(30_000)},
        {"a": [f'"{place}",' for place in range(30_000)]},
        {"a": [{"b": numbers(30_000)}, {"b": ["é"] * 30_000, "c": [[1.5], [2.5]]}]},
    ],
    ids=lambda content: ",".join(content) or "nothing",
)
def test_what_is_written_in_pieces_is_what_is_written_at_once(content: dict[str, Any]):
    assert to_json_in_pieces(content) == to_json(content)


def prediction(steps: int, outputs: int) -> Prediction:
    answer = Likelihood(-1.0, 2.0, ["a"] * steps, np.zeros(steps))
    return Prediction(answer, steps, {"logits": numbers(outputs, 2)} if outputs else None)


@pytest.mark.parametrize(
    ("results", "is_long"),
    [
        ([prediction(10, 10), ModelFailed("no")], False),
        ([Prediction(Forecast(numbers(1, 1)), 90_000)] * 3, False),
        ([prediction(20_000, 0)], True),
        ([prediction(1, 20_000), ModelFailed("no")], True),
        ([prediction(1, 2_000)] * 10, True),
        ([Feed(StepReply("s", 1, prediction(1, 20_000), 0.0), replayed=False)], True),
    ],
)
async def test_only_what_is_long_is_written_in_a_thread_and_in_pieces(
    results: list[Any], is_long: bool
):
    here = threading.current_thread()

    def write(_: ToJson) -> bool:
        return threading.current_thread() is here

    assert await written(results, write) is not is_long


async def test_a_long_answer_reads_as_a_short_one_does():
    result = Predictions("m", 1, [prediction(3, 15_000), ModelFailed("no"), prediction(2, 15_000)])
    content = render.predictions(result)
    assert await written(result.results, lambda to_json: to_json(content)) == to_json(content)

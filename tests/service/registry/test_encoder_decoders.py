"""Models of two graphs come and go as others do: both are verified, both end together."""

import asyncio
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from service.engine.cost import TYPICAL
from service.engine.engine import Engine
from service.errors import Draining
from tests.service.artifact.forging import change_graph
from tests.service.babel import save_babel
from tests.service.registry.running import running


async def test_an_encoder_decoder_is_verified_measured_and_served(tmp_path: Path) -> None:
    save_babel(tmp_path)
    async with running(tmp_path) as it:
        assert it.registry.readiness() == {"babel": "ready"}
        served = it.registry.get("babel")
        assert served.verified.probe_difference <= 1e-6
        assert served.verified.cost != TYPICAL
        assert served.verified.encoder is not None
        assert served.verified.encoder.cost != TYPICAL
        await it.translate("cafe")
        calls = it.metric("step_seconds_count", model="babel")
        await it.translate("cafe")
        assert it.metric("step_seconds_count", model="babel") == 2 * (calls or 0)


@pytest.mark.parametrize("file", ["encoder.onnx", "decoder.onnx"])
async def test_an_encoder_or_a_decoder_with_other_numbers_is_refused(
    file: str, tmp_path: Path
) -> None:
    def spoil(model: onnx.ModelProto) -> None:
        (weights,) = [t for t in model.graph.initializer if t.name == "R"]
        spoiled = numpy_helper.to_array(weights) + np.float32(0.05)
        weights.CopyFrom(numpy_helper.from_array(spoiled, "R"))

    folder = save_babel(tmp_path)
    change_graph(folder, spoil, file=file)
    async with running(tmp_path) as it:
        assert "differs from what was seen at export" in it.registry.readiness()["babel"]


def admits(engine: Engine) -> bool:
    try:
        engine.submit([], deadline=None).close()
    except Draining:
        return False
    return True


async def test_a_search_ends_on_the_version_on_which_it_began(tmp_path: Path) -> None:
    save_babel(tmp_path)
    async with running(tmp_path) as it:
        expected = await it.translate("cafe", max_tokens=400)
        old = it.registry.get("babel")
        begun = asyncio.create_task(it.translate("cafe", max_tokens=400))
        while not it.registry.in_flight:  # noqa: ASYNC110 - a count, no event
            await asyncio.sleep(0)
        save_babel(tmp_path, version=2, seed=6)
        await it.registry.refresh()
        assert await begun == expected
        assert await it.translate("cafe", max_tokens=400) != expected
        labels = {"model": "babel", "version": "1", "task": "seq2seq", "device": "cpu"}
        while it.metric("model_info", **labels) is not None:  # noqa: ASYNC110 - a metric
            await asyncio.sleep(0.01)
        assert old.encoder is not None
        async with asyncio.timeout(10):
            while admits(old.engine) or admits(old.encoder):  # noqa: ASYNC110 - of two engines
                await asyncio.sleep(0.01)

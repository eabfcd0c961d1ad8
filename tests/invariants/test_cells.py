"""Every cell behind the service: sessions in any chunks and company say what one prediction says.

The models are never trained: what the service promises must hold for any weights.
"""

import asyncio
from dataclasses import replace
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from service.artifact.artifact import Artifact, load_artifact
from service.dataplane.types import OpenRequest, Prediction
from tests.service.dataplane.serving import Serving, call, runtime_of, serving
from training.config import Cell, ModelConfig
from training.data.build import build as build_data
from training.export.graph import build_graph, with_step
from training.export.publish import Findings, write_artifact
from training.nn.cells import NUM_GATES
from training.recipes.tiny import tiny_language
from training.tasks.build import build as build_task

CELLS: tuple[Cell, ...] = tuple(NUM_GATES)
ROUND_APART: tuple[Cell, ...] = ("gru", "gru_cho")
"""Their single steps are not published: written out, they differ in the last bits."""


@cache
def artifact_of(cell: Cell) -> Artifact:
    """Three residual and normalised layers of a language model."""
    model = ModelConfig(cell=cell, hidden=12, layers=3, embedding=8, residual=True, layer_norm=True)
    config = replace(tiny_language(), name=f"cell-{cell.replace('_', '-')}", model=model)
    data = build_data(config.data, config.seed)
    torch.manual_seed(0)
    graph = build_graph(build_task(config, data).network.eval())
    if cell not in ROUND_APART:
        graph = with_step(graph)
        assert graph.step is not None
    with TemporaryDirectory() as root:
        folder = Path(root) / config.name / "1"
        findings = Findings((), {})
        write_artifact(folder, graph, findings, config=config, data=data, version=1, pages={})
        artifact = load_artifact(folder)
        runtime_of(artifact)  # while its files are there
    return artifact


@pytest.mark.parametrize("cell", CELLS)
@settings(max_examples=8, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    st.lists(st.lists(st.integers(1, 17), min_size=1, max_size=4), min_size=1, max_size=4),
    st.integers(0, 2**32),
)
async def test_sessions_in_any_chunks_and_company_say_what_one_prediction_says(
    cell: Cell, cuts: list[list[int]], seed: int
) -> None:
    artifact, draw = artifact_of(cell), np.random.default_rng(seed)
    num_tokens = artifact.manifest.graph.outputs[0].shape[-1]
    rows = [[draw.integers(0, num_tokens, steps) for steps in cut] for cut in cuts]
    async with serving([artifact], num_workers=2) as it:
        live = [_live(it, artifact.manifest.name, chunks) for chunks in rows]
        together = it.plane.predict(
            artifact.manifest.name,
            [np.concatenate(chunks) for chunks in rows],
            call=call(),
            raw=True,
        )
        *seen, predictions = await asyncio.gather(*live, together)
    for session, whole in zip(seen, predictions.results, strict=True):
        np.testing.assert_array_equal(session, _logits(whole))


async def _live(it: Serving, name: str, chunks: list[np.ndarray]) -> np.ndarray:
    """What a session says of its chunks, one after the other."""
    session = it.plane.open_session(name, OpenRequest(), call=call()).session_id
    parts = list[np.ndarray]()
    for chunk in chunks:
        fed = await it.plane.feed(session, chunk, call=call(), raw=True)
        parts.append(_logits(fed.reply.prediction))
    return np.concatenate(parts)


def _logits(result: Prediction | Exception) -> np.ndarray:
    assert isinstance(result, Prediction), result
    assert result.outputs is not None
    return result.outputs["logits"]

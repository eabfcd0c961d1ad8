"""Every graph of a published version: integers owe nothing to company, nor to how time is cut."""

from dataclasses import dataclass
from functools import cache

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from service.artifact.artifact import read_manifest
from service.artifact.graphs import GraphSpec
from service.artifact.manifest import Manifest
from service.artifact.tasks import AudioInput, TextInput
from tests.invariants.test_models import MODELS_DIR, PUBLISHED
from training.runner import Array, Ran, Runner

IN_INTEGERS = [model for model in PUBLISHED if read_manifest(MODELS_DIR / model).int8]

in_integers = pytest.mark.parametrize("model", IN_INTEGERS)
property_of_a_model = settings(
    max_examples=30, deadline=None, suppress_health_check=list(HealthCheck)
)
lengths = st.lists(st.integers(1, 40), min_size=1, max_size=9)
seeds = st.integers(0, 2**32)


@dataclass(frozen=True)
class Graphs:
    """Of one kind, float32 or integers."""

    whole: Runner
    step: Runner | None


@cache
def manifest_of(model: str) -> Manifest:
    return read_manifest(MODELS_DIR / model)


@cache
def graphs_of(model: str, kind: str) -> Graphs:
    int8 = manifest_of(model).int8
    spec: GraphSpec = manifest_of(model).graph if kind == "float32" or int8 is None else int8.graph
    folder = MODELS_DIR / model
    step = None if spec.step_file is None else Runner(folder / spec.step_file, spec)
    return Graphs(Runner(folder / spec.file, spec), step)


def rows_of(model: str, steps: list[int], seed: int) -> Array:
    """Random tokens, valid ones in the padding too; or numbers of any size."""
    draw, reads = np.random.default_rng(seed), manifest_of(model).input
    if isinstance(reads, TextInput):
        return draw.integers(0, reads.num_tokens, (len(steps), max(steps)))
    width = reads.hop if isinstance(reads, AudioInput) else len(reads.features)
    shape = (len(steps), max(steps), width)
    return draw.normal(0, 10, shape).astype(np.float32)


def assert_same(seen: Ran, expected: Ran) -> None:
    np.testing.assert_array_equal(seen.outputs, expected.outputs)
    for one, other in zip(seen.state, expected.state, strict=True):
        np.testing.assert_array_equal(one, other)


@in_integers
@property_of_a_model
@given(lengths, seeds)
def test_a_row_of_integers_is_what_it_is_alone(model: str, steps: list[int], seed: int) -> None:
    runner, rows = graphs_of(model, "int8").whole, rows_of(model, steps, seed)
    together = runner.run(rows, np.array(steps, np.int32))
    for row, length in enumerate(steps):
        alone = runner.run(rows[row : row + 1, :length])
        seen = together.outputs[row : row + 1]
        if not runner.spec.state:
            # A head that sums over the steps of the longest row; as in `test_models`.
            np.testing.assert_allclose(seen, alone.outputs, atol=1e-5, rtol=1e-5)
            continue
        state = tuple(part[:, row : row + 1] for part in together.state)
        assert_same(Ran(seen[:, :length], state), alone)


@pytest.mark.parametrize("kind", ["float32", "int8"])
@pytest.mark.parametrize("model", [m for m in IN_INTEGERS if manifest_of(m).causal])
@property_of_a_model
@given(st.integers(1, 9), st.lists(st.integers(1, 12), min_size=1, max_size=6), seeds)
def test_chunks_and_single_steps_in_any_order_are_the_whole(
    model: str, kind: str, rows: int, cuts: list[int], seed: int
) -> None:
    graphs = graphs_of(model, kind)
    assert graphs.step is not None
    inputs = rows_of(model, [sum(cuts)] * rows, seed)
    outputs, state, at = list[Array](), graphs.whole.initial_state(rows), 0
    for steps in cuts:
        runner = graphs.step if steps == 1 else graphs.whole
        ran = runner.run(inputs[:, at : at + steps], state=state)
        outputs.append(ran.outputs)
        state, at = ran.state, at + steps
    assert_same(Ran(np.concatenate(outputs, axis=1), state), graphs.whole.run(inputs))

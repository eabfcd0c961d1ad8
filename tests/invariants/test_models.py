"""Every model that this repository publishes: what its service promises holds for its numbers.

The small artifacts of the other tests go through the same, so that these tests are tested where
nothing is published.
"""

import asyncio
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from service.artifact.artifact import Artifact, load_artifact
from service.artifact.tasks import AudioInput, Seq2SeqOutput, TextInput
from service.dataplane.types import OpenRequest, Prediction, SearchRequest
from service.registry.disk import scan
from service.registry.form import choose_form, replay
from service.runtime.base import Memory, Runtime, StepInput, host_state
from service.runtime.session import RuntimeConfig
from service.runtime.state import stack, unstack
from tests.service.dataplane.serving import (
    Serving,
    call,
    encoder_of,
    runtime_of,
    serving,
    small_artifacts,
)

MODELS_DIR = Path(__file__).resolve().parents[2] / "models"
PUBLISHED = [
    f"{name}/{version}" for name, versions in scan(MODELS_DIR).items() for version in versions
]
SMALL = ["running-total", "babble", "parity", "stress", "babel"]

Outputs = dict[str, np.ndarray]

every_model = pytest.mark.parametrize("model", [*PUBLISHED, *SMALL])
published = pytest.mark.parametrize("model", PUBLISHED)
property_of_a_model = settings(
    max_examples=30, deadline=None, suppress_health_check=list(HealthCheck)
)


@cache
def artifact_of(model: str) -> Artifact:
    return small_artifacts()[model] if model in SMALL else load_artifact(MODELS_DIR / model)


def is_causal(model: str) -> bool:
    return artifact_of(model).manifest.causal


def writes(model: str) -> bool:
    """Whether it is an encoder-decoder."""
    return artifact_of(model).manifest.encoder is not None


def sequence(model: str, steps: int, seed: int) -> np.ndarray:
    """Random tokens, noise as loud as speech, or numbers as large as those of the probe.

    Those of the small model are whole.
    """
    rng = np.random.default_rng(seed)
    artifact = artifact_of(model)
    if isinstance(artifact.manifest.input, TextInput):
        num_tokens = artifact.manifest.input.num_tokens
        if isinstance(artifact.manifest.output, Seq2SeqOutput):  # of either side
            num_tokens = min(num_tokens, artifact.manifest.output.num_tokens)
        return rng.integers(0, num_tokens, steps)
    numbers = artifact.probe.inputs
    if model in SMALL:
        return rng.integers(-1000, 1000, (steps, 1)).astype(np.float32)
    if isinstance(artifact.manifest.input, AudioInput):
        spread = rng.normal(0, 0.1, (steps, artifact.manifest.input.hop)).clip(-1, 1)
        return spread.astype(np.float32)
    spread = rng.normal(numbers.mean(), numbers.std(), (steps, *numbers.shape[2:]))
    return spread.astype(np.float32)


def assert_same(model: str, seen: Outputs, expected: Outputs) -> None:
    """Bit for bit where the model is causal.

    One that reads whole sequences sums over the steps of the longest row, padding included: zeros
    change no sum, but they change the order in which it is taken, and with it the last bits of a
    number around 1 (6e-8 each). 1e-5 leaves room for some hundred of them.
    """
    assert seen.keys() == expected.keys()
    for name in seen:
        if is_causal(model):
            np.testing.assert_array_equal(seen[name], expected[name])
        else:
            np.testing.assert_allclose(seen[name], expected[name], atol=1e-5, rtol=1e-5)


def outputs_of(result: Prediction | Exception) -> Outputs:
    assert isinstance(result, Prediction), result
    assert result.outputs is not None
    return result.outputs


async def predict(it: Serving, model: str, sequences: Sequence[np.ndarray]) -> list[Outputs]:
    name = artifact_of(model).manifest.name
    predictions = await it.plane.predict(name, sequences, call=call(), raw=True)
    return [outputs_of(result) for result in predictions.results]


async def live(it: Serving, model: str, chunks: Sequence[np.ndarray]) -> Outputs:
    """What a session says of its chunks, one after the other."""
    name = artifact_of(model).manifest.name
    session = it.plane.open_session(name, OpenRequest(), call=call()).session_id
    parts = [
        outputs_of((await it.plane.feed(session, chunk, call=call(), raw=True)).reply.prediction)
        for chunk in chunks
    ]
    per_step = runtime_of(artifact_of(model)).per_step
    return {
        output: np.concatenate([part[output] for part in parts])
        if output in per_step
        else parts[-1][output]
        for output in parts[0]
    }


def runtimes_of(model: str) -> list[Runtime]:
    """Of an encoder-decoder, the encoder and the decoder."""
    artifact = artifact_of(model)
    return [one for one in (encoder_of(artifact), runtime_of(artifact)) if one is not None]


def memory_of(model: str, num_rows: int, seed: int) -> Memory | None:
    """What the rows of a decoder look back at; None for other models."""
    spec = artifact_of(model).manifest.graph.memory
    if spec is None:
        return None
    rng = np.random.default_rng(seed)
    values = rng.uniform(-1, 1, (num_rows, 16, spec.features)).astype(np.float32)
    return Memory(values, rng.integers(1, 17, num_rows).astype(np.int32))


def first_of(memory: Memory | None) -> Memory | None:
    return None if memory is None else Memory(memory.values[:1], memory.lengths[:1])


lengths = st.integers(1, 40)
seeds = st.integers(0, 2**32)


@every_model
@property_of_a_model
@given(st.lists(lengths, min_size=2, max_size=9), seeds)
async def test_company_changes_nothing(model: str, steps: list[int], seed: int) -> None:
    rows = [sequence(model, n, seed + i) for i, n in enumerate(steps)]
    async with serving([artifact_of(model)], num_workers=2) as it:
        together = await predict(it, model, rows)
        for row, seen in zip(rows, together, strict=True):
            (alone,) = await predict(it, model, [row])
            assert_same(model, seen, alone)


@every_model
@property_of_a_model
@given(lengths, st.lists(lengths, min_size=1, max_size=4), st.integers(0, 10**6), seeds)
def test_padding_changes_nothing(
    model: str, steps: int, others: list[int], noise: int, seed: int
) -> None:
    rows = [sequence(model, n, seed + i) for i, n in enumerate([steps, *others])]
    longest = max(map(len, rows)) + 1
    # Past its length, each row holds valid inputs that are none of its own.
    values = np.stack([sequence(model, longest, noise + i) for i in range(len(rows))])
    for index, row in enumerate(rows):
        values[index, : len(row)] = row
    lengths = np.array([len(row) for row in rows], np.int32)
    for runtime in runtimes_of(model):
        memory = (
            memory_of(model, len(rows), seed) if runtime is runtime_of(artifact_of(model)) else None
        )
        axes, states = runtime.batch_axes, [runtime.initial_state()] * len(rows)
        batch = StepInput(values, lengths, stack(states, axes), memory=memory)
        alone = StepInput(
            rows[0][None], lengths[:1], stack(states[:1], axes), memory=first_of(memory)
        )
        seen, expected = runtime.step(batch), runtime.step(alone)
        for name in seen.outputs:
            valid = slice(steps) if name in runtime.per_step else ...
            assert_same(
                model,
                {name: seen.outputs[name][0][valid]},
                {name: expected.outputs[name][0][valid]},
            )
        for state, other in zip(host_state(seen.state), host_state(expected.state), strict=True):
            ends = [unstack((one,), axes[:1])[0][0] for one in (state, other)]
            if memory is None:
                np.testing.assert_array_equal(*ends)
            else:
                np.testing.assert_allclose(*ends, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("model", [model for model in [*PUBLISHED, *SMALL] if is_causal(model)])
@property_of_a_model
@given(
    st.lists(st.lists(st.integers(1, 17), min_size=1, max_size=4), min_size=1, max_size=4), seeds
)
async def test_sessions_in_any_chunks_and_company_say_what_one_prediction_says(
    model: str, cuts: list[list[int]], seed: int
) -> None:
    chunks = [
        [sequence(model, n, seed + 100 * i + j) for j, n in enumerate(cut)]
        for i, cut in enumerate(cuts)
    ]
    async with serving([artifact_of(model)], num_workers=2) as it:
        noise = [predict(it, model, [sequence(model, 30, seed + 7)]) for _ in range(3)]
        lives = (live(it, model, mine) for mine in chunks)
        *seen, _ = await asyncio.gather(*lives, asyncio.gather(*noise))
        whole = await predict(it, model, [np.concatenate(mine) for mine in chunks])
    for session, expected in zip(seen, whole, strict=True):
        assert_same(model, session, expected)


@pytest.mark.parametrize("model", [model for model in [*PUBLISHED, *SMALL] if writes(model)])
@property_of_a_model
@given(st.lists(st.integers(1, 25), min_size=2, max_size=6), seeds, st.integers(1, 4))
async def test_what_is_written_for_a_source_is_the_same_to_the_bit_in_any_company(
    model: str, steps: list[int], seed: int, width: int
) -> None:
    name = artifact_of(model).manifest.name
    search = SearchRequest(beam_width=width, max_tokens=12)
    rows = [sequence(model, n, seed + i) for i, n in enumerate(steps)]
    async with serving([artifact_of(model)], num_workers=2) as it:
        together = (await it.plane.predict(name, rows, call=call(), search=search)).results
        for row, seen in zip(rows, together, strict=True):
            (alone,) = (await it.plane.predict(name, [row], call=call(), search=search)).results
            assert isinstance(seen, Prediction)
            assert isinstance(alone, Prediction)
            assert seen.answer == alone.answer


@every_model
async def test_a_sequence_beyond_the_models_limit_is_refused(model: str) -> None:
    limit = min(artifact_of(model).manifest.limits.max_steps, 100_000)
    name = artifact_of(model).manifest.name
    async with serving([artifact_of(model)], num_workers=2) as it:
        long = np.repeat(sequence(model, 1, 0), limit + 1, axis=0)
        (error,) = (await it.plane.predict(name, [long], call=call())).results
    assert getattr(error, "details", {}) == {"limit": limit}


@published
def test_the_probe_gives_what_was_seen_at_export(model: str) -> None:
    artifact = artifact_of(model)
    form = choose_form(artifact, RuntimeConfig(device="cpu", precision="float32"))
    seen = replay(form, runtime_of(artifact), encoder_of(artifact))
    assert seen <= form.probe.tolerance


@published
def test_the_manifest_says_how_good_and_how_exact_the_model_is(model: str) -> None:
    manifest = artifact_of(model).manifest
    assert manifest.provenance.metrics
    figures = manifest.provenance.verification
    assert {
        "onnx_equals_torch",
        "alone_equals_company",
        "padding_changes_nothing",
    } <= figures.keys()
    if manifest.causal:
        # What is served in chunks and batches is what was verified: bit for bit.
        assert figures["chunks_equal_whole"] == figures["alone_equals_company"] == 0.0
        assert figures["padding_changes_nothing"] == 0.0


@published
def test_a_card_tells_people_what_the_manifest_tells_programs(model: str) -> None:
    card = (MODELS_DIR / model / "card.md").read_text()
    assert artifact_of(model).manifest.name in card
    for picture in (MODELS_DIR / model).glob("*.png"):
        assert picture.name in card


@published
def test_a_folder_holds_the_artifact_its_recipe_and_what_people_read(model: str) -> None:
    names = {path.name for path in (MODELS_DIR / model).iterdir()}
    listed = {"manifest.json", "recipe.json", "card.md", *artifact_of(model).manifest.files}
    assert {name for name in names if not name.endswith(".png")} == listed


def test_all_models_together_are_small_enough_for_a_repository() -> None:
    size = sum(path.stat().st_size for path in MODELS_DIR.rglob("*") if path.is_file())
    assert size <= 40 * 1024 * 1024

"""The encoder reads sources of differing lengths at once; what would end the process is refused."""

import numpy as np
import pytest

from service.artifact.artifact import load_artifact
from service.errors import ModelFailed
from service.runtime.base import StepInput, StepOutput, host_state
from service.runtime.encoder_decoder import Encoder
from service.runtime.session import RuntimeConfig
from service.runtime.state import row_of, stack
from tests.service.babel import save_babel

LENGTHS = (5, 1, 3)


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Encoder:
    artifact = load_artifact(save_babel(tmp_path_factory.mktemp("models")))
    manifest = artifact.manifest
    assert manifest.encoder is not None
    config = RuntimeConfig(device="cpu")
    return Encoder(artifact.encoder_path, manifest.encoder, config, state=manifest.graph.state)


def read(encoder: Encoder, sources: list[np.ndarray]) -> StepOutput:
    lengths = np.array([len(source) for source in sources], np.int32)
    values = np.zeros((len(sources), lengths.max()), np.int64)
    for row, source in zip(values, sources, strict=True):
        row[: len(source)] = source
    zero = stack([encoder.initial_state()] * len(sources), encoder.batch_axes)
    return encoder.step(StepInput(values, lengths, zero))


def test_a_source_is_read_the_same_alone_and_in_company(encoder: Encoder) -> None:
    rng = np.random.default_rng(0)
    sources = [rng.integers(2, 12, length) for length in LENGTHS]
    together = read(encoder, sources)
    for place, source in enumerate(sources):
        alone = read(encoder, [source])
        seen, expected = together.outputs["memory"][place], alone.outputs["memory"][0]
        np.testing.assert_array_equal(seen[: len(source)], expected)
        for one, other in zip(
            row_of(host_state(together.state), place, encoder.batch_axes),
            row_of(host_state(alone.state), 0, encoder.batch_axes),
            strict=True,
        ):
            np.testing.assert_array_equal(one, other)


def test_its_state_is_of_the_decoders_shape_and_read_by_nobody(encoder: Encoder) -> None:
    (zero,) = encoder.initial_state()
    values, lengths = np.array([[3, 4]]), np.array([2], np.int32)
    given = [
        encoder.step(StepInput(values, lengths, stack([state], encoder.batch_axes)))
        for state in ((zero,), (zero + 1,))
    ]
    (first,), (second,) = (host_state(one.state) for one in given)
    assert first[:, 0].shape == zero.shape
    np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize("shape", [(0, 3), (1, 0)])
def test_no_rows_and_no_steps_are_refused(encoder: Encoder, shape: tuple[int, int]) -> None:
    state = stack([encoder.initial_state()], encoder.batch_axes)
    with pytest.raises(ModelFailed):
        encoder.step(StepInput(np.zeros(shape, np.int64), np.zeros(shape[0], np.int32), state))


def test_a_token_that_it_does_not_know_is_the_runtimes_refusal(encoder: Encoder) -> None:
    with pytest.raises(ModelFailed, match="refused a source"):
        read(encoder, [np.array([10_000])])

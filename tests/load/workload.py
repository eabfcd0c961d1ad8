"""What is asked: ragged sequences, steps of sessions, prompts; the same for the same seed."""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from service.artifact.manifest import LanguageModelingOutput, Manifest, NumericInput, TextInput
from tests.load import wire
from tests.load.wire import Request

MEDIAN_STEPS, SPREAD, MIN_STEPS, MAX_STEPS = 40, 0.7, 5, 200
NUM_SEQUENCES = 512
_STEPS_A_SESSION = 32
_PROMPT_STEPS = 8

Part = Literal["predict", "steps", "generate"]


@dataclass(frozen=True, slots=True)
class Work:
    """Requests of one part on one model. Every lane has its own list, and goes round in it."""

    part: Part
    model: str
    lanes: tuple[tuple[Request, ...], ...]
    """A lane is one connection; for `steps` it is one session as well."""
    opening: tuple[bytes, ...] = ()
    """Sent once before everything else: the sessions."""


def sequence_lengths(count: int, seed: int) -> NDArray[np.int64]:
    """Lognormal with median 40 and sigma 0.7, clipped to 5..200; the mean is 45 to 50."""
    drawn = np.random.default_rng(seed).lognormal(np.log(MEDIAN_STEPS), SPREAD, count)
    return np.clip(np.rint(drawn), MIN_STEPS, MAX_STEPS).astype(np.int64)


def sequences(manifest: Manifest, count: int = NUM_SEQUENCES, seed: int = 7) -> list[NDArray[Any]]:
    """Ragged sequences that the model can read."""
    rng = np.random.default_rng(seed)
    return [chunk(manifest, int(n), rng) for n in sequence_lengths(count, seed)]


def chunk(manifest: Manifest, steps: int, rng: np.random.Generator) -> NDArray[Any]:
    """Token ids `[steps]`, or numbers `[steps, features]` about as large as in training."""
    match manifest.input:
        case TextInput(num_tokens=num_tokens):
            return rng.integers(0, num_tokens, steps)
        case NumericInput(features=features, scaling=scaling):
            values = rng.standard_normal((steps, len(features)))
            values = scaling.invert(values) if scaling else values
            return values.astype(np.float32).round(3)


def parts_of(manifest: Manifest) -> list[Part]:
    """What can be asked of a model."""
    parts: list[Part] = ["predict"]
    if manifest.causal:
        parts.append("steps")
    if isinstance(manifest.output, LanguageModelingOutput):
        parts.append("generate")
    return parts


def predict_work(manifest: Manifest, num_lanes: int) -> Work:
    """Each lane begins elsewhere in the same requests, so that all are asked equally often."""
    requests = tuple(wire.predict(manifest.name, steps) for steps in sequences(manifest))
    starts = [lane * len(requests) // num_lanes for lane in range(num_lanes)]
    lanes = tuple(requests[start:] + requests[:start] for start in starts)
    return Work("predict", manifest.name, lanes)


def steps_work(manifest: Manifest, num_lanes: int, prefix: str) -> Work:
    """One session a lane, one step a request; `prefix` makes the sessions' ids new."""
    rng = np.random.default_rng(8)
    ids = [f"{prefix}-{lane}" for lane in range(num_lanes)]
    lanes = tuple(
        tuple(wire.step(name, chunk(manifest, 1, rng)) for _ in range(_STEPS_A_SESSION))
        for name in ids
    )
    opening = tuple(wire.open_session(manifest.name, name) for name in ids)
    return Work("steps", manifest.name, lanes, opening)


def generate_work(manifest: Manifest, num_lanes: int, *, num_tokens: int, sampled: bool) -> Work:
    """One prompt a lane, always the same, so that a lane's streams must be equal."""
    rng = np.random.default_rng(9)

    def request(lane: int) -> Request:
        prompt = chunk(manifest, _PROMPT_STEPS, rng)
        seed = lane if sampled else None
        return wire.generate(manifest.name, prompt, num_tokens=num_tokens, seed=seed)

    lanes = tuple((request(lane),) for lane in range(num_lanes))
    return Work("generate", manifest.name, lanes)

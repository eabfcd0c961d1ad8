"""What is asked: ragged sequences, steps of sessions, prompts; the same for everyone.

A lane is one connection that goes round in its own list of requests.
"""

import itertools
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from tests.load.wire import Request, Tokens, Wire
from tests.load.wires import OurWire

MEDIAN_STEPS, SPREAD, MIN_STEPS, MAX_STEPS = 40, 0.7, 5, 200
NUM_SEQUENCES = 512
NUM_WORDS, NUM_CHARACTERS = 1000, 96
_STEPS_A_SESSION = 32

Part = Literal["classify", "step", "generate"]

_sessions = itertools.count(1)


@dataclass(frozen=True, slots=True)
class Work:
    part: Part
    wire: Wire
    lanes: tuple[tuple[Request, ...], ...]
    opening: tuple[tuple[Request, ...], ...] = ()
    """Of each lane, sent once before everything else: one request a session."""
    handshakes: tuple[Request, ...] = ()
    """Of each lane, where its requests are frames of a WebSocket."""


def sequence_lengths(count: int, seed: int) -> NDArray[np.int64]:
    """Lognormal with median 40 and sigma 0.7, clipped to 5..200; the mean is 45 to 50."""
    drawn = np.random.default_rng(seed).lognormal(np.log(MEDIAN_STEPS), SPREAD, count)
    return np.clip(np.rint(drawn), MIN_STEPS, MAX_STEPS).astype(np.int64)


def sequences(count: int = NUM_SEQUENCES, seed: int = 7) -> list[Tokens]:
    """Ragged sequences of words."""
    rng = np.random.default_rng(seed)
    return [rng.integers(0, NUM_WORDS, int(n)) for n in sequence_lengths(count, seed)]


def classify_work(wire: Wire, num_lanes: int) -> Work:
    """Each lane begins elsewhere in the same requests, so that all are asked equally often."""
    requests = tuple(wire.classify(tokens) for tokens in sequences())
    starts = [lane * len(requests) // num_lanes for lane in range(num_lanes)]
    return Work("classify", wire, tuple(requests[start:] + requests[:start] for start in starts))


def step_work(wire: Wire, num_lanes: int) -> Work:
    """One session a lane, one step a request."""
    sessions = _new_sessions(num_lanes)
    lanes = tuple(tuple(wire.step(s, row) for row in _steps(lane)) for lane, s in sessions)
    return Work("step", wire, lanes, tuple((wire.open(s),) for _, s in sessions))


def bulk_work(wire: OurWire, num_lanes: int, *, rows: int) -> Work:
    """`rows` sessions a lane, one step of each of them a request."""
    groups = [[s for _, s in _new_sessions(rows)] for _ in range(num_lanes)]
    steps = list(zip(*(_steps(row) for row in range(rows)), strict=True))
    lanes = tuple(tuple(wire.bulk(group, each) for each in steps) for group in groups)
    return Work("step", wire, lanes, tuple(tuple(map(wire.open, group)) for group in groups))


def socket_work(wire: OurWire, num_lanes: int) -> Work:
    """One session and one WebSocket a lane, one step a frame."""
    sessions = _new_sessions(num_lanes)
    lanes = tuple(tuple(map(wire.frame, _steps(lane))) for lane, _ in sessions)
    opening = tuple((wire.open(s),) for _, s in sessions)
    return Work("step", wire, lanes, opening, tuple(wire.socket(s) for _, s in sessions))


def generate_work(wire: Wire, num_lanes: int, *, num_tokens: int) -> Work:
    """One prompt a lane, of one character, always the same."""
    rng = np.random.default_rng(9)
    prompts = rng.integers(0, NUM_CHARACTERS, (num_lanes, 1))
    return Work("generate", wire, tuple((wire.generate(p, num_tokens),) for p in prompts))


def _new_sessions(count: int) -> list[tuple[int, int]]:
    """Pairs of a place and an id that nobody had before."""
    return [(place, next(_sessions)) for place in range(count)]


def _steps(seed: int) -> list[Tokens]:
    """One character each."""
    return list(np.random.default_rng(seed).integers(0, NUM_CHARACTERS, (_STEPS_A_SESSION, 1)))

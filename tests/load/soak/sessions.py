"""What clients do with sessions: steps of all sizes, retries, forks, generation, sockets, ends.

A session's whole past is remembered here and checked in one piece when its client is done.
"""

import math
import time
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from tests.load.soak.client import Reply, Unanswered
from tests.load.soak.expected import Chunk, Model
from tests.load.soak.scenes import World, draw_sampling, generation_body

_LONGEST = 60
_MAX_ACTS, _MAX_BRANCHES = 12, 4
_TTL_SECONDS = 20
"""Of those that their clients leave behind."""
_SLACK_SECONDS = 5.0
_BULK_ROWS, _BULK_ROUNDS = 48, 6


@dataclass(slots=True)
class Branch:
    """One session, and what it has been fed; a prediction is None where none was asked for."""

    session_id: str
    ttl_seconds: float = _TTL_SECONDS
    expires: float = math.inf
    """By `time.monotonic()`, not earlier than the server's word."""
    chunks: list[Chunk] = field(default_factory=list[Chunk])
    predictions: list[Any] = field(default_factory=list[Any])

    @property
    def step(self) -> int:
        return sum(map(len, self.chunks))

    @property
    def path(self) -> str:
        return f"/v1/sessions/{self.session_id}"

    def take(self, chunk: Chunk, prediction: Any) -> None:
        self.chunks.append(chunk)
        self.predictions.append(prediction)
        self.expires = time.monotonic() + self.ttl_seconds


async def session(world: World) -> None:
    """Opens one, acts on it and its forks at random, checks all they said, ends most of them."""
    model = world.pick(causal=True)
    branches = [await open_branch(world, model)]
    for _ in range(world.rng.integers(1, _MAX_ACTS)):
        branch = branches[world.rng.integers(len(branches))]
        match world.rng.choice(["step", "step", "step", "retry", "stale", "left", "fork", "say"]):
            case "step":
                await step(world, model, branch)
            case "retry":
                await retry(world, model, branch)
            case "stale":
                await _stale(world, model, branch)
            case "left":
                await _left(world, model, branch)
            case "fork" if len(branches) < _MAX_BRANCHES:
                branches.append(await _fork(world, branch))
            case "say" if model.generates:
                await _say(world, model, branch)
    for branch in branches:
        await settle(world, model, branch)


async def bulk(world: World) -> None:
    """Steps of many sessions in one request, of several models, one of them nobody's."""
    rows = [
        (model, await open_branch(world, model))
        for model in [world.pick(causal=True) for _ in range(world.rng.integers(1, _BULK_ROWS))]
    ]
    for _ in range(world.rng.integers(1, _BULK_ROUNDS)):
        chunks = [world.chunk(model, _LONGEST) for model, _ in rows]
        steps = [
            {"session_id": branch.session_id, "inputs": chunk.tolist()}
            for (_, branch), chunk in zip(rows, chunks, strict=True)
        ]
        stranger = {"session_id": "nobody", "inputs": [1]}
        reply = await world.client.ask("POST", "/v1/sessions:step", {"steps": [*steps, stranger]})
        *results, refused = reply.json()["results"]
        if len(results) != len(rows) or "error" not in refused:
            raise Unanswered(f"a row was lost, or nobody's answered: {reply.body[:300]!r}")
        for (_, branch), chunk, result in zip(rows, chunks, results, strict=True):
            _accept(branch, chunk, result)
    for model, branch in rows:
        await settle(world, model, branch)


async def stream(world: World) -> None:
    """Frames over a socket, some of them nonsense, which must change nothing."""
    model = world.pick(causal=True)
    branch = await open_branch(world, model)
    socket = await world.client.open_socket(f"{branch.path}/stream")
    try:
        for _ in range(world.rng.integers(1, _MAX_ACTS)):
            if world.chance(0.2):
                refused = await world.client.say(socket, {"inputs": []})
                if set(refused) != {"error"}:
                    raise Unanswered(f"nonsense was answered: {str(refused)[:200]}")
                continue
            chunk = world.chunk(model, _LONGEST)
            body = {"inputs": chunk.tolist(), "step": branch.step}
            _accept(branch, chunk, await world.client.say(socket, body))
    finally:
        socket.close()
    await settle(world, model, branch)


async def open_branch(world: World, model: Model, *, ttl_seconds: float = _TTL_SECONDS) -> Branch:
    reply = await world.client.ask(
        "POST",
        f"/v1/models/{model.name}/sessions",
        {"ttl_seconds": ttl_seconds},
        expected=(201,),
    )
    expires = time.monotonic() + ttl_seconds
    return Branch(reply.json()["session_id"], ttl_seconds, expires)


async def step(world: World, model: Model, branch: Branch) -> None:
    chunk = world.chunk(model, _LONGEST)
    body: dict[str, Any] = {"inputs": chunk.tolist()}
    if world.chance(0.5):
        body["step"] = branch.step
    reply = await world.client.ask("POST", f"{branch.path}/steps", body)
    _accept(branch, chunk, reply.json())


async def retry(world: World, model: Model, branch: Branch) -> None:
    """The same step twice is made once, and answered alike to the byte."""
    chunk = world.chunk(model, _LONGEST)
    body = {"inputs": chunk.tolist(), "step": branch.step}
    first = await world.client.ask("POST", f"{branch.path}/steps", body)
    again = await world.client.ask("POST", f"{branch.path}/steps", body)
    if first.is_replayed or not again.is_replayed or first.body != again.body:
        raise Unanswered(f"not a replay: {first.body[:200]!r}, {again.body[:200]!r}")
    _accept(branch, chunk, first.json())


async def _stale(world: World, model: Model, branch: Branch) -> None:
    """A step that the session is not at changes nothing."""
    body = {"inputs": world.chunk(model, _LONGEST).tolist(), "step": branch.step + 1}
    reply = await world.client.ask("POST", f"{branch.path}/steps", body, expected=(409,))
    if reply.error_code != "step_mismatch":
        raise Unanswered(f"not a mismatch: {reply.body[:200]!r}")


async def _left(world: World, model: Model, branch: Branch) -> None:
    """Whether or not the step was made that its client did not wait for, a retry finds out."""
    chunk = world.chunk(model, _LONGEST)
    body = {"inputs": chunk.tolist(), "step": branch.step}
    after = float(world.rng.uniform(0, 0.01))
    await world.client.leave("POST", f"{branch.path}/steps", body, after_seconds=after)
    reply = await world.client.ask("POST", f"{branch.path}/steps", body)
    _accept(branch, chunk, reply.json())


async def _fork(world: World, branch: Branch) -> Branch:
    reply = await world.client.ask("POST", f"{branch.path}/fork", {}, expected=(201,))
    forked = reply.json()
    if forked["step"] != branch.step:
        raise Unanswered(f"forked at {branch.step}: {forked}")
    return replace(
        branch,
        session_id=forked["session_id"],
        chunks=list(branch.chunks),
        predictions=[None] * len(branch.chunks),
    )


async def _say(world: World, model: Model, branch: Branch) -> None:
    """Goes on from where the session stands; what was said becomes its past."""
    prompt = model.chunk(int(world.rng.integers(0, 5)), world.rng)
    sampling = draw_sampling(world.rng)
    body = generation_body(world.rng, prompt, sampling)
    reply = await world.client.ask("POST", f"{branch.path}/generate", body)
    (choice,) = reply.json()["choices"]
    tokens = model.tokens(choice["text"])
    context = np.concatenate([*branch.chunks, prompt]).astype(np.int64)
    model.check_generated(context, tokens, prompt=prompt, sampling=sampling, choice=0)
    world.num_checked += len(tokens)
    if len(prompt):
        branch.take(prompt, None)
    branch.take(tokens, None)
    _require_step(branch, reply.json()["step"], reply)


async def settle(world: World, model: Model, branch: Branch) -> None:
    """All that the session said, against its whole past; then its end, or it is left to expire."""
    if branch.chunks:
        model.check(branch.chunks, branch.predictions)
        world.num_checked += sum(prediction is not None for prediction in branch.predictions)
    # Checking takes its time: on a busy machine more than a session's.
    if world.chance(0.2) or time.monotonic() > branch.expires - _SLACK_SECONDS:
        return
    reply = await world.client.ask("DELETE", branch.path)
    _require_step(branch, reply.json()["step"], reply)
    gone = await world.client.ask("GET", branch.path, expected=(410,))
    if gone.error_code != "session_ended":
        raise Unanswered(f"not ended: {gone.body[:200]!r}")


def _accept(branch: Branch, chunk: Chunk, result: Any) -> None:
    branch.take(chunk, result.get("prediction"))
    if result.get("step") != branch.step or result["session_id"] != branch.session_id:
        raise Unanswered(f"at {branch.step} of {branch.session_id}: {str(result)[:300]}")


def _require_step(branch: Branch, step: int, reply: Reply) -> None:
    if step != branch.step:
        raise Unanswered(f"at {branch.step}: {reply.body[:200]!r}")

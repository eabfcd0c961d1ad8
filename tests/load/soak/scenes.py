"""What clients do, one request after another: predict, generate, ask for nonsense, go away.

Every scene asks with a random number generator of its own and checks what comes back.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from tests.load.soak.client import Client, Reply, Unanswered
from tests.load.soak.expected import Chunk, Model, Sampling
from tests.load.soak.translators import Asked, Translator

_LONGEST, _MEDIAN, _SPREAD = 400, 20, 1.0
_MANY = 24
"""Sequences of one request, at most."""
_MAX_TOKENS, _MAX_CHOICES = 48, 3
_WIDEST, _SOURCES, _LONGEST_SOURCE = 6, 12, 40
"""Of a search, and of one request for translations."""
_STAY_SECONDS = 0.05


@dataclass(slots=True)
class World:
    """One client's: what it may ask for, and what it has checked."""

    client: Client
    models: Sequence[Model]
    """Of one graph."""
    translators: Sequence[Translator]
    rng: np.random.Generator
    num_checked: int = 0
    """Predictions and generated tokens."""

    def pick(self, *, causal: bool = False, generating: bool = False) -> Model:
        fit = [
            model
            for model in self.models
            if (model.manifest.causal or not causal) and (model.generates or not generating)
        ]
        return fit[self.rng.integers(len(fit))]

    def chunk(self, model: Model, longest: int = _LONGEST) -> Chunk:
        steps = int(np.clip(self.rng.lognormal(np.log(_MEDIAN), _SPREAD), 1, longest))
        return model.chunk(steps, self.rng)

    def chance(self, probability: float) -> bool:
        return bool(self.rng.random() < probability)


async def predict(world: World) -> None:
    """Many ragged sequences, now and then one among them that is wrong and must fail alone."""
    model = world.pick()
    chunks = [world.chunk(model) for _ in range(world.rng.integers(1, _MANY))]
    inputs: list[Any] = [chunk.tolist() for chunk in chunks]
    wrong = int(world.rng.integers(len(inputs))) if world.chance(0.2) and len(inputs) > 1 else -1
    if wrong >= 0:
        inputs[wrong] = [10**9]
    raw = world.chance(0.1)
    reply = await world.client.ask(
        "POST", f"/v1/models/{model.name}/predict", {"inputs": inputs, "raw": raw}
    )
    predictions = reply.json()["predictions"]
    _require(len(predictions) == len(chunks), "a row was lost", reply)
    for place, (chunk, prediction) in enumerate(zip(chunks, predictions, strict=True)):
        if place == wrong:
            _require(set(prediction) == {"error"}, "a wrong row was answered", reply)
            continue
        model.check([chunk], [prediction])
        if raw:
            model.check_outputs(chunk, prediction["outputs"])
        world.num_checked += 1


async def generate(world: World) -> None:
    model = world.pick(generating=True)
    prompt = model.chunk(int(world.rng.integers(0, 30)), world.rng)
    sampling = draw_sampling(world.rng)
    choices = int(world.rng.integers(1, _MAX_CHOICES + 1))
    body = generation_body(world.rng, prompt, sampling) | {"n": choices}
    path = f"/v1/models/{model.name}/generate"
    if world.chance(0.5):
        texts = await _streamed(world, path, body, choices)
    else:
        reply = await world.client.ask("POST", path, body)
        texts = [choice["text"] for choice in reply.json()["choices"]]
    for choice, text in enumerate(texts):
        tokens = model.tokens(text)
        if len(tokens) != body["max_tokens"]:
            raise Unanswered(f"{len(tokens)} tokens of {body}")
        model.check_generated(prompt, tokens, prompt=prompt, sampling=sampling, choice=choice)
        world.num_checked += len(tokens)


async def translate(world: World) -> None:
    """Searches of all widths, texts written token by token, and one among them that is left."""
    translator = world.translators[world.rng.integers(len(world.translators))]
    path, rng = f"/v1/models/{translator.name}", world.rng
    search = {
        "beam_width": int(rng.integers(1, _WIDEST + 1)),
        "length_penalty": float(rng.choice([0.0, 0.6, 1.0])),
        "max_tokens": int(rng.integers(1, _MAX_TOKENS)),
    }
    asked = Asked(**search)
    sources = [
        translator.source(int(rng.integers(1, _LONGEST_SOURCE)), rng)
        for _ in range(rng.integers(1, _SOURCES))
    ]
    match rng.choice(["search", "write", "stream", "leave"], p=[0.5, 0.2, 0.2, 0.1]):
        case "search":
            wrong = [10**9]
            body = {"inputs": [*sources, wrong], **search}
            reply = await world.client.ask("POST", f"{path}/predict", body)
            *predictions, refused = reply.json()["predictions"]
            _require(len(predictions) == len(sources), "a row was lost", reply)
            _require(set(refused) == {"error"}, "a wrong row was answered", reply)
            for source, prediction in zip(sources, predictions, strict=True):
                translator.check(source, asked, prediction)
            world.num_checked += len(sources)
        case "write":
            body = {"prompt": sources[0], "n": asked.beam_width, **search}
            reply = await world.client.ask("POST", f"{path}/generate", body)
            texts = [choice["text"] for choice in reply.json()["choices"]]
            translator.check_choices(sources[0], asked, texts)
            world.num_checked += len(texts)
        case "stream":
            body = {"prompt": sources[0], "max_tokens": asked.max_tokens}
            texts = await _streamed(world, f"{path}/generate", body, 1)
            translator.check_choices(sources[0], replace(asked, beam_width=1), texts)
            world.num_checked += 1
        case _:
            after = float(rng.uniform(0, _STAY_SECONDS))
            body = {"inputs": sources, **search}
            await world.client.leave("POST", f"{path}/predict", body, after_seconds=after)


async def nonsense(world: World) -> None:
    """Each must be refused with a code, and leave the connection usable."""
    model = world.pick()
    predict_path = f"/v1/models/{model.name}/predict"
    cases: list[tuple[str, str, Any, int]] = [
        ("POST", predict_path, {"inputs": []}, 422),
        ("POST", predict_path, {"inputs": [[]]}, 422),
        ("POST", predict_path, {"inputs": [[-1]]}, 422),
        ("POST", predict_path, {"input": [[1]]}, 400),
        ("POST", "/v1/models/nobody/predict", {"inputs": [[1]]}, 404),
        ("POST", "/v1/sessions/nobody/steps", {"inputs": [1]}, 404),
        ("GET", "/v1/sessions/nobody", None, 404),
        ("GET", "/v1/nothing", None, 404),
        ("PUT", predict_path, {"inputs": [[1]]}, 405),
    ]
    method, path, body, status = cases[world.rng.integers(len(cases))]
    reply = await world.client.ask(method, path, body, expected=(status,))
    _require(bool(reply.error_code), "an error without a code", reply)


async def leave(world: World) -> None:
    """Work that nobody waits for any more."""
    after = float(world.rng.uniform(0, _STAY_SECONDS))
    if world.chance(0.5):
        model = world.pick(generating=True)
        prompt = model.chunk(3, world.rng)
        body = {"prompt": prompt.tolist(), "max_tokens": 1000, "stream": True}
        path = f"/v1/models/{model.name}/generate"
    else:
        model = world.pick()
        chunks = [world.chunk(model).tolist() for _ in range(_MANY)]
        path, body = f"/v1/models/{model.name}/predict", {"inputs": chunks}
    await world.client.leave("POST", path, body, after_seconds=after)


def draw_sampling(rng: np.random.Generator) -> Sampling:
    return Sampling(
        temperature=float(rng.choice([0.0, 0.5, 0.8, 1.0, 1.5])),
        top_k=int(rng.choice([0, 1, 5, 40])),
        top_p=float(rng.choice([1.0, 0.95, 0.5])),
        repetition_penalty=float(rng.choice([1.0, 1.3])),
        seed=int(rng.integers(0, 1 << 62)),
    )


def generation_body(rng: np.random.Generator, prompt: Chunk, sampling: Sampling) -> dict[str, Any]:
    return {
        "prompt": prompt.tolist(),
        "max_tokens": int(rng.integers(1, _MAX_TOKENS)),
        "temperature": sampling.temperature,
        "top_k": sampling.top_k,
        "top_p": sampling.top_p,
        "repetition_penalty": sampling.repetition_penalty,
        "seed": sampling.seed,
    }


async def _streamed(world: World, path: str, body: dict[str, Any], choices: int) -> list[str]:
    reply = await world.client.ask("POST", path, body | {"stream": True})
    *pieces, done = reply.events()
    _require("usage" in done, "a stream without its end", reply)
    texts = [""] * choices
    for piece in pieces:
        texts[piece["index"]] += piece["text"]
    return texts


def _require(holds: bool, claim: str, reply: Reply) -> None:
    if not holds:
        raise Unanswered(f"{claim}: {reply.body[:300]!r}")

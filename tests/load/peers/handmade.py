"""What a skilled user writes in an afternoon: FastAPI, a queue, a loop that runs batches.

Nothing waits on purpose: while one batch runs, the next gathers. Classifications are cut into
batches of like lengths around the oldest; generations join and leave between two steps.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import numpy as np
import uvicorn
from fastapi import FastAPI
from fastapi.responses import StreamingResponse

from tests.load.peers import graph
from tests.load.peers.bodies import Classify, Generate, Step, event

_graphs = {work: graph.open_graph(work) for work in ("classify", "step", "generate")}
_states: dict[int, graph.State] = {}
_pool = ThreadPoolExecutor(graph.RUNNERS)


@dataclass(frozen=True, slots=True)
class Waiting:
    tokens: list[int]
    session: int
    answer: "asyncio.Future[np.ndarray]"


class Batcher:
    """Runs what waits; `run` gives one answer a row."""

    def __init__(self, run: Callable[[Sequence[Waiting]], Sequence[np.ndarray]]) -> None:
        self._run = run
        self._waiting: list[Waiting] = []
        self._more = asyncio.Event()

    async def answer(self, tokens: list[int], session: int = 0) -> np.ndarray:
        row = Waiting(tokens, session, asyncio.get_running_loop().create_future())
        self._waiting.append(row)
        self._more.set()
        return await row.answer

    async def loop(self) -> None:
        while True:
            await self._more.wait()
            batch = self._take()
            if not self._waiting:
                self._more.clear()
            if not batch:
                continue
            try:
                answers = await asyncio.get_running_loop().run_in_executor(_pool, self._run, batch)
            except Exception as error:  # noqa: BLE001 - the callers get it
                for row in batch:
                    row.answer.set_exception(error)
            else:
                for row, answer in zip(batch, answers, strict=True):
                    row.answer.set_result(answer)

    def _take(self) -> list[Waiting]:
        if len(self._waiting) <= graph.MAX_BATCH:
            batch, self._waiting = self._waiting, []
            return batch
        length = len(self._waiting[0].tokens)
        nearest = sorted(self._waiting, key=lambda row: abs(len(row.tokens) - length))
        batch = nearest[: graph.MAX_BATCH]
        taken = set(map(id, batch))
        self._waiting = [row for row in self._waiting if id(row) not in taken]
        return batch


@dataclass(slots=True)
class Live:
    """One generation: what it reads next, how much it still owes."""

    unread: list[int]
    owed: int
    state: graph.State = graph.ZERO
    tokens: "asyncio.Queue[int]" = field(default_factory=asyncio.Queue)


class Generator:
    """Steps all live generations together."""

    def __init__(self) -> None:
        self._live: list[Live] = []
        self._more = asyncio.Event()

    async def events(self, body: Generate) -> AsyncIterator[str]:
        live = Live(list(body.tokens), body.max_tokens)
        self._live.append(live)
        self._more.set()
        for _ in range(body.max_tokens):
            yield event(await live.tokens.get())

    async def loop(self) -> None:
        while True:
            await self._more.wait()
            rows = self._live[: graph.MAX_BATCH]
            tokens = await asyncio.get_running_loop().run_in_executor(_pool, self._step, rows)
            for row, token in zip(rows, tokens, strict=True):
                row.tokens.put_nowait(token)
                row.owed -= 1
            self._live = [row for row in self._live if row.owed]
            if not self._live:
                self._more.clear()

    def _step(self, rows: Sequence[Live]) -> list[int]:
        unread, states = [row.unread for row in rows], [row.state for row in rows]
        logits, ends = graph.step(_graphs["generate"], unread, states)
        tokens = logits.argmax(axis=1).tolist()
        for row, token, row.state in zip(rows, tokens, ends, strict=True):
            row.unread = [token]
        return tokens


def _classify(rows: Sequence[Waiting]) -> Sequence[np.ndarray]:
    return list(graph.classify(_graphs["classify"], [row.tokens for row in rows]))


def _step(rows: Sequence[Waiting]) -> Sequence[np.ndarray]:
    states = [_states.get(row.session, graph.ZERO) for row in rows]
    logits, ends = graph.step(_graphs["step"], [row.tokens for row in rows], states)
    _states.update(zip((row.session for row in rows), ends, strict=True))
    return list(logits)


_classifier, _stepper, _generator = Batcher(_classify), Batcher(_step), Generator()


@asynccontextmanager
async def _lifespan(_: FastAPI) -> AsyncIterator[None]:
    loops = [_stepper.loop(), _generator.loop()]
    loops += [_classifier.loop() for _ in range(graph.RUNNERS)]
    tasks = [asyncio.create_task(loop) for loop in loops]
    yield
    for task in tasks:
        task.cancel()


app = FastAPI(lifespan=_lifespan)


@app.get("/ready")
async def ready() -> dict[str, bool]:
    return {"ready": True}


@app.post("/classify")
async def classify(body: Classify) -> dict[str, list[float]]:
    return {"logits": (await _classifier.answer(body.tokens)).tolist()}


@app.post("/step")
async def step(body: Step) -> dict[str, list[float]]:
    return {"logits": (await _stepper.answer(body.tokens, body.session)).tolist()}


@app.post("/generate")
async def generate(body: Generate) -> StreamingResponse:
    return StreamingResponse(_generator.events(body), media_type="text/event-stream")


if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=graph.PORT, log_level="warning", access_log=False)

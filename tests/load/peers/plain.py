"""What most people write: FastAPI, `def` endpoints, one run a request, a dict of states."""

from collections.abc import Iterator

import uvicorn
from fastapi import FastAPI
from fastapi.responses import StreamingResponse

from tests.load.peers import graph
from tests.load.peers.bodies import Classify, Generate, Step, event

app = FastAPI()
_graphs = {work: graph.open_graph(work) for work in ("classify", "step", "generate")}
_states: dict[int, graph.State] = {}


@app.get("/ready")
def ready() -> dict[str, bool]:
    return {"ready": True}


@app.post("/classify")
def classify(body: Classify) -> dict[str, list[float]]:
    return {"logits": graph.classify(_graphs["classify"], [body.tokens])[0].tolist()}


@app.post("/step")
def step(body: Step) -> dict[str, list[float]]:
    state = _states.get(body.session, graph.ZERO)
    logits, (_states[body.session],) = graph.step(_graphs["step"], [body.tokens], [state])
    return {"logits": logits[0].tolist()}


@app.post("/generate")
def generate(body: Generate) -> StreamingResponse:
    return StreamingResponse(_events(body), media_type="text/event-stream")


def _events(body: Generate) -> Iterator[str]:
    tokens, state = body.tokens, graph.ZERO
    for _ in range(body.max_tokens):
        logits, (state,) = graph.step(_graphs["generate"], [tokens], [state])
        tokens = [int(logits[0].argmax())]
        yield event(tokens[0])


if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=graph.PORT, log_level="warning", access_log=False)

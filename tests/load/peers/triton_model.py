"""The model.py of tritonserver's Python backend: its batches and sequences, our peers' code.

A generation is an iterative sequence: after each token its request goes back to the scheduler,
which puts it into the next batch.
"""

from dataclasses import dataclass

import numpy as np
import triton_python_backend_utils as backend

from tests.load.peers import graph


class TritonPythonModel:
    def initialize(self, args: dict[str, str]) -> None:
        work = args["model_name"]
        self._graph = graph.open_graph(work)
        self._states: dict[int, graph.State] = {}
        self._live: dict[int, Live] = {}
        self._execute = getattr(self, f"_{work}")

    def execute(self, requests: list) -> list | None:
        return self._execute(requests)

    def _classify(self, requests: list) -> list:
        rows = [_input(request, "tokens")[0] for request in requests]
        return [_response("logits", row) for row in graph.classify(self._graph, rows)]

    def _step(self, requests: list) -> list:
        sessions = [_session(request) for request in requests]
        states = [
            graph.ZERO if _starts(request) else self._states[session]
            for session, request in zip(sessions, requests, strict=True)
        ]
        rows = [_input(request, "tokens")[0] for request in requests]
        logits, ends = graph.step(self._graph, rows, states)
        self._states.update(zip(sessions, ends, strict=True))
        return [_response("logits", row) for row in logits]

    def _generate(self, requests: list) -> None:
        rows = [self._live_row(request) for request in requests]
        unread, states = [row.unread for row in rows], [row.state for row in rows]
        logits, ends = graph.step(self._graph, unread, states)
        tokens = logits.argmax(axis=1).tolist()
        for request, row, token, end in zip(requests, rows, tokens, ends, strict=True):
            row.unread, row.state, row.owed = [token], end, row.owed - 1
            sender, answer = request.get_response_sender(), _response("token", np.array([token]))
            if row.owed:
                request.set_release_flags(backend.TRITONSERVER_REQUEST_RELEASE_RESCHEDULE)
                sender.send(answer)
            else:
                del self._live[_session(request)]
                sender.send(answer, flags=backend.TRITONSERVER_RESPONSE_COMPLETE_FINAL)

    def _live_row(self, request: "backend.InferenceRequest") -> "Live":
        if _starts(request):
            prompt, owed = _input(request, "tokens")[0], _input(request, "max_tokens")
            self._live[_session(request)] = Live(prompt.tolist(), int(owed.item()))
        return self._live[_session(request)]


@dataclass(slots=True)
class Live:
    unread: list[int]
    owed: int
    state: graph.State = graph.ZERO


def _session(request: "backend.InferenceRequest") -> int:
    return int(_input(request, "CORRID").item())


def _starts(request: "backend.InferenceRequest") -> bool:
    return bool(_input(request, "START").item())


def _response(name: str, row: np.ndarray) -> "backend.InferenceResponse":
    return backend.InferenceResponse([backend.Tensor(name, row[None])])


def _input(request: "backend.InferenceRequest", name: str) -> np.ndarray:
    return backend.get_input_tensor_by_name(request, name).as_numpy()

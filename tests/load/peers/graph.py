"""The model code that all peers share: ragged rows and their states through one graph.

Knows nothing of the service, so that it runs wherever numpy and ONNX Runtime are installed.
"""

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnxruntime as ort

State = tuple[np.ndarray, np.ndarray]
"""h and c of one row, each `[layers, 1, hidden]`."""
ZERO: State = (np.zeros((2, 1, 256), np.float32), np.zeros((2, 1, 256), np.float32))

PORT = int(os.environ.get("PEER_PORT", "0"))
WORK = os.environ.get("PEER_WORK", "")
"""`classify`, `step` or `generate`, where a peer must be set up for one of them."""
THREADS = int(os.environ.get("PEER_THREADS", "1"))
"""Inside one run; 0 leaves it to ONNX Runtime: one a core, spinning."""
RUNNERS = int(os.environ.get("PEER_RUNNERS", "1"))
MAX_BATCH = int(os.environ.get("PEER_MAX_BATCH", "64"))
WAIT_US = int(os.environ.get("PEER_WAIT_US", "0"))

_MODELS = {"classify": "random-classifier", "step": "random-steps", "generate": "random-lm"}


def open_graph(work: str) -> ort.InferenceSession:
    path = Path(os.environ["PEER_MODELS"]) / _MODELS[work] / "1" / "model.onnx"
    options = ort.SessionOptions()
    options.intra_op_num_threads = THREADS
    return ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def classify(graph: ort.InferenceSession, rows: Sequence[Sequence[int]]) -> np.ndarray:
    """Logits `[rows, classes]` after each row's last token, all from the zero state."""
    feeds = _feeds(rows, [ZERO] * len(rows))
    (logits,) = graph.run(["logits"], feeds)
    return logits[np.arange(len(rows)), feeds["lengths"] - 1]


def step(
    graph: ort.InferenceSession, rows: Sequence[Sequence[int]], states: Sequence[State]
) -> tuple[np.ndarray, list[State]]:
    """Logits `[rows, outputs]` after each row's last token, and the states there."""
    feeds = _feeds(rows, states)
    logits, h, c = graph.run(["logits", "h_out", "c_out"], feeds)
    # Copies: a view would keep the whole batch's state alive for as long as one session lives.
    ends = [(h[:, i : i + 1].copy(), c[:, i : i + 1].copy()) for i in range(len(rows))]
    return logits[np.arange(len(rows)), feeds["lengths"] - 1], ends


def _feeds(rows: Sequence[Sequence[int]], states: Sequence[State]) -> dict[str, np.ndarray]:
    lengths = np.array([len(row) for row in rows], np.int32)
    tokens = np.zeros((len(rows), lengths.max()), np.int64)
    for i, row in enumerate(rows):
        tokens[i, : len(row)] = row
    h, c = (np.concatenate(parts, axis=1) for parts in zip(*states, strict=True))
    return {"tokens": tokens, "lengths": lengths, "h_in": h, "c_in": c}

"""What a server of ours costs before and between requests: its start, and doing nothing."""

import tempfile
import time
from pathlib import Path

from tests.load.contenders import Contender
from tests.load.figures import Rest
from tests.load.models import Draw, write_models
from tests.load.server import ROOT, Server

_PUBLISHED = ROOT / "models"
_NUM_MODELS = 10
_SETTLE_SECONDS = 2.0


def start(contender: Contender, *, times: int) -> Rest:
    """With the published models, their files in the page cache after the first time."""
    seconds: list[float] = []
    for _ in range(times):
        with Server(contender.launch(_PUBLISHED, "classify")) as server:
            seconds.append(server.start_seconds)
    return Rest(contender.name, start_seconds=tuple(seconds))


def idle(contender: Contender, *, seconds: float) -> Rest:
    with tempfile.TemporaryDirectory(prefix="recur-load-") as folder:
        draws = [Draw(f"random-{seed}", "causal", seed) for seed in range(_NUM_MODELS)]
        write_models(Path(folder), draws)
        with Server(contender.launch(Path(folder), "classify")) as server:
            time.sleep(_SETTLE_SECONDS)
            before, began = server.cpu_seconds(), time.perf_counter()
            time.sleep(seconds)
            used = server.cpu_seconds() - before
            cores = used / (time.perf_counter() - began)
    return Rest(contender.name, idle_cores=cores, idle_models=_NUM_MODELS)

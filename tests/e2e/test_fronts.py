"""Front processes: they come and go, and the sessions behind them stay."""

import json
import os
import signal
from pathlib import Path

import httpx
import pytest
from websockets.sync.client import connect

from tests.e2e.server import Server, serving, start, wait_for
from tests.service.artifacts import save_banded_total, save_running_total

pytestmark = pytest.mark.slow


@pytest.fixture
def models(tmp_path: Path) -> Path:
    save_running_total(tmp_path / "models")
    return tmp_path / "models"


def fronts_of(server: Server) -> list[int]:
    """The processes that the server's own has started."""
    children = f"/proc/{server.process.pid}/task/{server.process.pid}/children"
    return [int(pid) for pid in Path(children).read_text().split()]


def is_gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


def test_every_front_knows_every_session_and_all_measurements(models: Path, tmp_path: Path) -> None:
    with serving(models, tmp_path / "log", http_workers="3") as server:
        session = httpx.post(f"{server.url}/v1/models/running-total/sessions").json()["session_id"]
        url = f"{server.url}/v1/sessions/{session}/steps"
        for step in range(30):  # each on a connection of its own, and so on any of the fronts
            reply = httpx.post(url, json={"inputs": [[1]], "step": step}).json()
            assert reply["prediction"]["forecast"] == [[step + 1.0]]
        text = httpx.get(f"{server.url}/metrics").text
    counted = 'recur_requests_total{model="running-total",outcome="ok",protocol="native"} 31.0'
    assert counted in text
    for front in range(3):
        assert f'recur_front_process_resident_memory_bytes{{front="{front}"}}' in text


def test_quantiles_come_through_every_door(tmp_path: Path) -> None:
    save_banded_total(tmp_path / "models")
    expected = {"forecast": [[3.0]], "quantiles": {"0.1": [[2.0]], "0.5": [[3.0]], "0.9": [[4.0]]}}
    with serving(tmp_path / "models", tmp_path / "log", http_workers="2") as server:
        model = f"{server.url}/v1/models/banded-total"
        predicted = httpx.post(f"{model}/predict", json={"inputs": [[[1], [2]]]}).json()
        assert predicted["predictions"] == [expected]
        one, other, third = (httpx.post(f"{model}/sessions").json()["session_id"] for _ in "123")
        url = f"{server.url}/v1/sessions/{one}/steps"
        stepped = httpx.post(url, json={"inputs": [[1], [2]], "step": 0}).json()
        again = httpx.post(url, json={"inputs": [[1], [2]], "step": 0}).json()
        chunks = [{"session_id": other, "inputs": [[3]]}]
        (bulk,) = httpx.post(f"{server.url}/v1/sessions:step", json={"steps": chunks}).json()[
            "results"
        ]
        with connect(f"{server.url.replace('http', 'ws')}/v1/sessions/{third}/stream") as socket:
            socket.send('{"inputs": [[3]]}')
            streamed = json.loads(socket.recv())
        shown = httpx.get(model).json()["output"]["quantiles"]
    assert [reply["prediction"] for reply in (stepped, again, bulk, streamed)] == [expected] * 4
    assert shown == [0.1, 0.5, 0.9]


def test_a_front_that_dies_is_started_anew_and_costs_no_session(
    models: Path, tmp_path: Path
) -> None:
    with serving(models, tmp_path / "log", http_workers="2") as server:
        session = httpx.post(f"{server.url}/v1/models/running-total/sessions").json()["session_id"]
        url = f"{server.url}/v1/sessions/{session}"
        assert httpx.post(f"{url}/steps", json={"inputs": [[5]]}).status_code == 200
        before = fronts_of(server)
        assert len(before) == 2
        for pid in before:
            os.kill(pid, signal.SIGKILL)
        wait_for(lambda: len(set(fronts_of(server)) - set(before)) == 2)
        wait_for(lambda: answers(url))
        reply = httpx.post(f"{url}/steps", json={"inputs": [[1]], "step": 1}).json()
        assert reply["prediction"]["forecast"] == [[6.0]]
        assert server.stop() == 0


def answers(url: str) -> bool:
    try:
        return httpx.get(url).status_code == 200
    except httpx.TransportError:
        return False


def test_no_front_outlives_the_engine(models: Path, tmp_path: Path) -> None:
    with serving(models, tmp_path / "log", http_workers="2") as server:
        fronts = fronts_of(server)
        server.process.kill()
        server.process.wait(10)
        wait_for(lambda: all(is_gone(pid) for pid in fronts))


def test_a_port_that_somebody_listens_on_ends_the_start(models: Path, tmp_path: Path) -> None:
    with serving(models, tmp_path / "log", http_workers="1") as server:
        port = server.url.rpartition(":")[2]
        second = start(models, tmp_path / "second", http_workers="1", port=port)
        assert second.process.wait(30) == 1
        assert "in use" in second.log.read_text()
        assert httpx.get(f"{server.url}/healthz/ready").status_code == 200

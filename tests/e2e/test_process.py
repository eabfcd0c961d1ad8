"""The process as an operator meets it: starting, refusing to start, reloading, stopping."""

import asyncio
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

from tests.e2e.server import ROOT, api_keys, serving, start, wait_for
from tests.service.artifacts import save_babble, save_parity, save_running_total

pytestmark = pytest.mark.slow


@pytest.fixture
def models(tmp_path: Path) -> Path:
    folder = tmp_path / "models"
    for save in (save_babble, save_parity, save_running_total):
        save(folder)
    return folder


def run_to_end(models_dir: Path, **settings: str) -> tuple[int, str]:
    """The exit status and standard error of a server that is expected to give up."""
    env = os.environ | {"RECUR_MODELS_DIR": str(models_dir)}
    env |= {f"RECUR_{name.upper()}": value for name, value in settings.items()}
    command = [sys.executable, "-m", "service"]
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, timeout=60, check=False)
    return done.returncode, done.stderr.decode()


@pytest.mark.parametrize("http_workers", ["0", "2"])
async def test_sigterm_lets_a_stream_finish_and_exits_0(
    models: Path, tmp_path: Path, http_workers: str
) -> None:
    with serving(models, tmp_path / "log", http_workers=http_workers) as server:
        async with httpx.AsyncClient(base_url=server.url, timeout=30) as client:
            body = {"prompt": "a", "max_tokens": 3000, "stream": True, "seed": 1}
            url = "/v1/models/babble/generate"
            async with client.stream("POST", url, json=body) as stream:
                lines = stream.aiter_lines()
                async for line in lines:
                    if line.startswith("data:"):
                        break
                server.process.terminate()
                ready = await until_not_ready(client)
                assert ready.status_code == 503
                assert ready.json()["error"]["code"] == "draining"
                assert int(ready.headers["retry-after"]) >= 1
                refused = await client.post(url, json={"prompt": "b"})
                assert refused.json()["error"]["code"] == "draining"
                rest = [line async for line in lines]
        assert "event: done" in rest
        assert await asyncio.to_thread(server.process.wait, 30) == 0


@pytest.mark.parametrize("later_seconds", [0.0, 0.3, 0.6])
def test_a_sigterm_while_it_starts_ends_it_with_0(
    models: Path, tmp_path: Path, later_seconds: float
) -> None:
    server = start(models, tmp_path / "log", ignoring_signals=True)
    wait_for(lambda: hears_sigterm(server.process.pid))
    time.sleep(later_seconds)
    server.process.terminate()
    try:
        assert server.process.wait(20) == 0
    finally:
        server.process.kill()


def hears_sigterm(pid: int) -> bool:
    """Whether the process has a handler for it."""
    status = Path(f"/proc/{pid}/status").read_text()
    (caught,) = [line for line in status.splitlines() if line.startswith("SigCgt:")]
    return bool(int(caught.split()[1], 16) & 1 << signal.SIGTERM - 1)


async def until_not_ready(client: httpx.AsyncClient) -> httpx.Response:
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        response = await client.get("/healthz/ready")
        if response.status_code != 200:
            return response
    raise AssertionError("the server stayed ready after SIGTERM")


@pytest.mark.parametrize("http_workers", ["0", "2"])
async def test_work_longer_than_the_grace_is_cut_and_the_exit_is_0(
    models: Path, tmp_path: Path, http_workers: str
) -> None:
    limits = {"grace_seconds": "1", "max_tokens": "10000000"}
    with serving(models, tmp_path / "log", http_workers=http_workers, **limits) as server:
        async with httpx.AsyncClient(base_url=server.url, timeout=30) as client:
            body = {"prompt": "a", "max_tokens": 10_000_000, "stream": True}
            async with client.stream("POST", "/v1/models/babble/generate", json=body) as stream:
                lines = stream.aiter_lines()
                await anext(lines)
                began = time.monotonic()
                server.process.terminate()
                with pytest.raises(httpx.RemoteProtocolError):
                    _ = [line async for line in lines]
        assert await asyncio.to_thread(server.process.wait, 30) == 0
        # One second of grace, one for uvicorn's own, and room for a busy machine.
        assert time.monotonic() - began < 10


def test_a_wrong_setting_ends_the_start_and_names_the_variable(models: Path) -> None:
    status, stderr = run_to_end(models, port="eighty", max_rows="0")
    assert status == 2
    assert "RECUR_PORT" in stderr
    assert "RECUR_MAX_ROWS" in stderr


def test_asking_for_cuda_without_it_is_an_error_and_no_silent_fallback(models: Path) -> None:
    import onnxruntime as ort

    if "CUDAExecutionProvider" in ort.get_available_providers():
        pytest.skip("this machine has CUDA")
    status, stderr = run_to_end(models, device="cuda", port="0")
    assert status == 1
    assert "RECUR_DEVICE" in stderr


@pytest.mark.parametrize("http_workers", ["0", "2"])
def test_a_broken_model_leaves_the_service_up_but_not_ready(
    models: Path, tmp_path: Path, http_workers: str
) -> None:
    graph = models / "parity" / "1" / "model.onnx"
    graph.write_bytes(graph.read_bytes()[:-10])
    server = start(models, tmp_path / "log", http_workers=http_workers, models_poll_seconds="0.2")
    try:
        with httpx.Client(base_url=server.url, timeout=30) as client:
            body = {"inputs": [[[1], [2]]]}
            wait_for(lambda: predicts(client, body))
            ready = client.get("/healthz/ready")
            assert ready.status_code == 503
            assert "model.onnx" in ready.text
            assert client.get("/healthz/live").status_code == 200
            shutil.rmtree(models / "parity")
            save_parity(models)
            wait_for(lambda: client.get("/healthz/ready").status_code == 200)
    finally:
        server.process.kill()
        server.process.wait(10)


def predicts(client: httpx.Client, body: object) -> bool:
    try:
        return client.post("/v1/models/running-total/predict", json=body).status_code == 200
    except httpx.TransportError:
        return False


@pytest.mark.parametrize("http_workers", ["0", "2"])
def test_a_new_version_takes_over_while_sessions_stay_on_theirs(
    models: Path, tmp_path: Path, http_workers: str
) -> None:
    with (
        serving(
            models, tmp_path / "log", http_workers=http_workers, models_poll_seconds="0.2"
        ) as server,
        httpx.Client(base_url=server.url, timeout=30) as client,
    ):
        session = client.post("/v1/models/running-total/sessions").json()["session_id"]
        steps = f"/v1/sessions/{session}/steps"
        assert client.post(steps, json={"inputs": [[1]]}).json()["step"] == 1
        save_running_total(models, version=2, scale=10.0)
        wait_for(lambda: client.get("/v1/models/running-total").json()["version"] == 2)
        new = client.post("/v1/models/running-total/predict", json={"inputs": [[[1]]]}).json()
        assert new["version"] == 2
        assert new["predictions"][0]["forecast"] == [[10.0]]
        old = client.post(steps, json={"inputs": [[1]]}).json()
        assert old["prediction"]["forecast"] == [[2.0]]
        gone = client.post("/v1/models/running-total@1/predict", json={"inputs": [[[1]]]})
        assert gone.status_code == 404


@pytest.mark.parametrize("http_workers", ["0", "2"])
def test_keys_part_the_tenants(models: Path, tmp_path: Path, http_workers: str) -> None:
    keys = api_keys(ann="key-a", bob="key-b")
    with (
        serving(models, tmp_path / "log", http_workers=http_workers, api_keys=keys) as server,
        httpx.Client(base_url=server.url, timeout=30) as client,
    ):
        ann, bob = ({"Authorization": f"Bearer key-{tenant}"} for tenant in "ab")
        opened = client.post("/v1/models/running-total/sessions", headers=ann)
        assert opened.status_code == 201
        url = f"/v1/sessions/{opened.json()['session_id']}"
        assert client.get(url, headers=ann).status_code == 200
        foreign, unknown = client.get(url, headers=bob), client.get(url + "x", headers=bob)
        assert foreign.status_code == unknown.status_code == 404
        assert foreign.json() == unknown.json()
        assert client.get(url).status_code == 401
        assert client.get("/healthz/ready").status_code == 200
        assert "key-a" not in server.log.read_text()


def test_a_session_of_an_earlier_run_is_lost_and_not_unknown(models: Path, tmp_path: Path) -> None:
    with serving(models, tmp_path / "log") as server:
        opened = httpx.post(f"{server.url}/v1/models/running-total/sessions").json()
        assert server.stop() == 0
    with serving(models, tmp_path / "log") as server:
        response = httpx.get(f"{server.url}/v1/sessions/{opened['session_id']}")
        assert response.status_code == 410
        assert response.json()["error"]["code"] == "session_lost"

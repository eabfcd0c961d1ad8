"""Starts the tritonserver of the nvidia-pytriton wheel on a model repository made for one work.

Runs in an environment of its own, and turns into the server: same process, same id.
"""

import importlib.util
import os
import shutil
import sys
from pathlib import Path

from tests.load.peers import graph

_SEQUENCES = """
max_sequence_idle_microseconds: 600000000
oldest { max_candidate_sequences: 1024 max_queue_delay_microseconds: WAIT_US }
control_input [
  { name: "START" control [ { kind: CONTROL_SEQUENCE_START int32_false_true: [ 0, 1 ] } ] },
  { name: "CORRID" control [ { kind: CONTROL_SEQUENCE_CORRID data_type: TYPE_UINT64 } ] }
]
"""
_WORKS = {
    "classify": """
input [ { name: "tokens" data_type: TYPE_INT64 dims: [ -1 ] allow_ragged_batch: true } ]
output [ { name: "logits" data_type: TYPE_FP32 dims: [ 10 ] } ]
dynamic_batching { max_queue_delay_microseconds: WAIT_US }
""",
    "step": """
input [ { name: "tokens" data_type: TYPE_INT64 dims: [ -1 ] } ]
output [ { name: "logits" data_type: TYPE_FP32 dims: [ 96 ] } ]
sequence_batching { SEQUENCES }
""",
    "generate": """
input [
  { name: "tokens" data_type: TYPE_INT64 dims: [ -1 ] },
  { name: "max_tokens" data_type: TYPE_INT64 dims: [ 1 ] }
]
output [ { name: "token" data_type: TYPE_INT64 dims: [ 1 ] } ]
model_transaction_policy { decoupled: true }
sequence_batching { iterative_sequence: true SEQUENCES }
""",
}


def main() -> None:
    wheel = _wheel()
    server = wheel / "tritonserver"
    folder = Path(os.environ["PEER_FOLDER"])
    backends = _backends(server, folder)
    repository = _repository(folder)
    _prepare_stub(wheel)
    command = [
        "tritonserver",
        *("--model-repository", str(repository)),
        *("--backend-directory", str(backends)),
        *("--http-address", "127.0.0.1"),
        *("--http-port", str(graph.PORT)),
        *("--http-thread-count", "4"),
        *("--allow-grpc", "false"),
        *("--allow-metrics", "false"),
        *("--backend-config", "python,shm-default-byte-size=16777216"),
    ]
    os.execv(server / "bin" / "tritonserver", command)


def _wheel() -> Path:
    found = importlib.util.find_spec("pytriton")
    if found is None or found.origin is None:
        raise SystemExit("requirements-triton.txt is not installed here")
    return Path(found.origin).parent


def _backends(server: Path, folder: Path) -> Path:
    """The wheel's backends, with the stub that fits this interpreter."""
    backends = folder / "backends"
    shutil.copytree(server / "backends", backends)
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    stub = server / "python_backend_stubs" / version / "triton_python_backend_stub"
    shutil.copy(stub, backends / "python")
    return backends


def _repository(folder: Path) -> Path:
    repository = folder / "repository"
    version = repository / graph.WORK / "1"
    version.mkdir(parents=True)
    shutil.copy(Path(__file__).with_name("triton_model.py"), version / "model.py")
    batches = _WORKS[graph.WORK].replace("SEQUENCES", _SEQUENCES)
    config = f"""
name: "{graph.WORK}"
backend: "python"
max_batch_size: {graph.MAX_BATCH}
instance_group [ {{ count: {graph.RUNNERS} kind: KIND_CPU }} ]
{batches.replace("WAIT_US", str(graph.WAIT_US))}
"""
    (repository / graph.WORK / "config.pbtxt").write_text(config)
    return repository


def _prepare_stub(wheel: Path) -> None:
    """The stub embeds an interpreter, which takes its packages from the first python3 on PATH."""
    python = Path(sys.executable)
    libraries = [python.resolve().parents[1] / "lib", wheel.parent / "nvidia_pytriton.libs"]
    for name, folders in (("PATH", [python.parent]), ("LD_LIBRARY_PATH", libraries)):
        given = os.environ.get(name, "")
        os.environ[name] = os.pathsep.join([*map(str, folders), *([given] if given else [])])


if __name__ == "__main__":
    main()

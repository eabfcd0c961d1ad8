"""The floors hold, and the service needs nothing of training."""

import subprocess
import sys
from pathlib import Path

from tests.e2e.server import ROOT


def test_each_package_imports_only_what_is_below_it() -> None:
    command = [str(Path(sys.executable).parent / "lint-imports"), "--no-cache"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_the_service_starts_without_torch() -> None:
    script = (
        "import sys, service.process\n"
        "names = {name.partition('.')[0] for name in sys.modules}\n"
        "assert not names & {'torch', 'lightning', 'training'}, names"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr

"""However a test ends, nothing of it goes on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers import PATIENCE_S, is_running, wait_until
from tests.pytest_plugin.writing import SCENARIOS

pytest_plugins = ["pytester"]

WAITS = """
import os, time
from pathlib import Path

class Waits(Mine):
    def work(self, w):
        Path(f"worker-{w.index}").write_text(f"{os.getppid()} {os.getpid()}")
        time.sleep(1000)

def test_it(lab):
    lab.race(Waits, workers=2, trials=1, time_limit=900)
"""


def pids_in(folder: Path) -> list[int]:
    """The process that races, and its workers, as they wrote it."""
    return [int(pid) for path in folder.glob("worker-*") for pid in path.read_text().split()]


@pytest.mark.parametrize(
    ("stop", "leaves"),
    [(signal.SIGINT, 0), (signal.SIGALRM, 0), (signal.SIGTERM, 1), (signal.SIGKILL, 1)],
    ids=["Ctrl-C", "pytest-timeout", "SIGTERM", "SIGKILL"],
)
def test_the_process_that_races_and_its_workers_end_with_the_test(
    pytester: pytest.Pytester, stop: signal.Signals, leaves: int
) -> None:
    """SIGALRM is what pytest-timeout fails a test with. A pytest that is killed at once can remove no file."""
    pytester.makepyfile(test_mine=SCENARIOS + WAITS)
    (pytester.path / "files").mkdir()
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--timeout=900", "--lab-dir=files"]
    with subprocess.Popen(command, cwd=pytester.path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as ran:
        wait_until(lambda: len(pids_in(pytester.path)) == 4, "two workers at work")
        pids = pids_in(pytester.path)
        assert all(map(is_running, pids))
        os.kill(ran.pid, stop)
        ran.wait(PATIENCE_S)
    try:
        wait_until(lambda: not any(map(is_running, pids)), "nothing left running")
    finally:
        for pid in filter(is_running, pids):
            os.kill(pid, signal.SIGKILL)
    assert len(list((pytester.path / "files").iterdir())) == leaves

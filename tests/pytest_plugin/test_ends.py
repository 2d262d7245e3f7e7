"""However a test or a script ends, nothing of its race goes on."""

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
    command = ["-m", "pytest", "-p", "no:cacheprovider", "--timeout=900", "--lab-dir=files"]
    ends_with(command, pytester.path, stop, leaves)


SCRIPT = """
import threading
import lab
threading.Thread(target=threading.Event().wait, daemon=True).start()
lab.race(Waits, workers=2, trials=1, time_limit=900, dir="files")
"""


@pytest.mark.parametrize(("stop", "leaves"), [(signal.SIGINT, 0), (signal.SIGKILL, 1)], ids=["Ctrl-C", "SIGKILL"])
def test_they_end_with_a_script_that_has_threads(tmp_path: Path, stop: signal.Signals, leaves: int) -> None:
    (tmp_path / "script.py").write_text(SCENARIOS + WAITS.partition("def test_it")[0] + SCRIPT)
    ends_with(["script.py"], tmp_path, stop, leaves)


def ends_with(arguments: list[str], folder: Path, stop: signal.Signals, leaves: int) -> None:
    """Asserts that the signal ends a Python with these arguments, and all that races for it."""
    (folder / "files").mkdir()
    command = [sys.executable, *arguments]
    with subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as ran:
        wait_until(lambda: len(pids_in(folder)) == 4, "two workers at work")
        pids = pids_in(folder)
        assert all(map(is_running, pids))
        os.kill(ran.pid, stop)
        ran.wait(PATIENCE_S)
    try:
        wait_until(lambda: not any(map(is_running, pids)), "nothing left running")
    finally:
        for pid in filter(is_running, pids):
            os.kill(pid, signal.SIGKILL)
    assert len(list((folder / "files").iterdir())) == leaves

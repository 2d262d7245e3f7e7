"""Progress is for people who wait at a terminal: on stderr, in a process of its own."""

from __future__ import annotations

import os
import pty
import re
import signal
from collections.abc import Iterator
from pathlib import Path
from subprocess import DEVNULL
from tempfile import TemporaryFile

import pytest

from lab.report import progress
from lab.report.progress import Progress
from tests.cli.commands import Terminal, scenario_file, start_lab
from tests.helpers import PATIENCE_S, OtherProcess, is_running, wait_until

RELATIVES = """
def of(parent):
    each = [path.read_text().rpartition(")")[2].split() for path in Path("/proc").glob("[0-9]*/stat") if path.exists()]
    return sum(fields[1] == str(parent) for fields in each)

threads = len(os.listdir(f"/proc/{os.getppid()}/task"))
(HERE / "note").write_text(f"{of(os.getppid())} {threads}")
"""
"""What the one worker sees of its parent: how many children and how many threads it has."""


@pytest.fixture
def terminal() -> Iterator[Terminal]:
    terminal = Terminal()
    yield terminal
    terminal.close()


def displayed(patience_s: float, titles: list[str], until: str) -> str:
    """What a display with this patience showed on its terminal, and on its stdout, until it showed the last."""
    ours, theirs = pty.openpty()
    os.dup2(theirs, 2)
    os.close(theirs)
    os.environ["TERM"] = "xterm"
    progress.PATIENCE_S = patience_s
    seen = b""
    with Progress(len(titles), shown=True) as shown:
        for title in titles:
            shown.tell(title)
        while until and until.encode() not in seen:
            seen += os.read(ours, 65_536)
    nowhere = os.open(os.devnull, os.O_RDWR)
    os.dup2(nowhere, 2)
    os.close(nowhere)
    return (seen + rest(ours)).decode()


def rest(ours: int) -> bytes:
    """What is still to be read of a terminal that everybody else has closed."""
    seen = b""
    try:
        while more := os.read(ours, 65_536):
            seen += more
    except OSError:
        pass
    return seen


def test_a_long_run_shows_what_runs_and_how_far_it_is_leaves_the_cursor_and_wipes_its_line(other: OtherProcess) -> None:
    """Whoever kills a display that had hidden the cursor would leave the terminal without one."""
    shown = other.call(displayed, 0.0, ["counter, lock none", "counter, lock fcntl"], "lock fcntl")
    assert re.search(r"1/2.*counter, lock fcntl", shown)
    assert "\x1b[?25" not in shown
    assert shown.endswith("\x1b[2K")


def test_a_run_that_ends_within_the_patience_shows_nothing(other: OtherProcess) -> None:
    assert other.call(displayed, 1e6, ["counter, lock none"], "") == ""


def children_of_a_progress(shown: bool) -> int:
    progress.PATIENCE_S = 1e6
    with Progress(1, shown=shown):
        return sum(len(path.read_text().split()) for path in Path("/proc/self/task").glob("*/children"))


@pytest.mark.parametrize(("shown", "children"), [(True, 1), (False, 0)])
def test_the_display_is_a_process_of_its_own_and_only_where_it_is_shown(
    other: OtherProcess, shown: bool, children: int
) -> None:
    assert other.call(children_of_a_progress, shown) == children


def told_to_nobody() -> str:
    progress.PATIENCE_S = 1e6
    with Progress(1, shown=True) as shown:
        assert shown._child
        os.kill(shown._child.pid, signal.SIGKILL)
        pid = shown._child.pid
        wait_until(lambda: not is_running(pid), "the display is gone")
        for _ in range(10_000):
            shown.tell("counter")
    return "went on"


def told_too_much() -> str:
    progress.PATIENCE_S = 1e6
    with Progress(1, shown=True) as shown:
        for _ in range(10_000):
            shown.tell("counter" * 10)
    return "went on"


def test_a_display_that_is_gone_or_behind_does_not_hold_up_the_run(other: OtherProcess) -> None:
    assert other.call(told_to_nobody) == other.call(told_too_much) == "went on"


def test_ctrl_c_is_left_to_the_run(other: OtherProcess) -> None:
    assert other.call(interrupted_display) == [True, 0]


def interrupted_display() -> list[object]:
    """SIGINT reaches the display once it runs, as Ctrl-C would: does it live, and how does it end?"""
    progress.PATIENCE_S = 1e6
    with Progress(1, shown=True) as shown:
        assert shown._child
        status = Path(f"/proc/{shown._child.pid}/status")
        wait_until(lambda: ignores_sigint(status), "the display ignores SIGINT")
        os.kill(shown._child.pid, signal.SIGINT)
        lives = is_running(shown._child.pid)
        os.close(shown._pipe)
        code = shown._child.wait()
        shown._child = None
    return [lives, code]


def ignores_sigint(status: Path) -> bool:
    (ignored,) = [line.split()[1] for line in status.read_text().splitlines() if line.startswith("SigIgn")]
    return bool(int(ignored, 16) & 1 << (signal.SIGINT - 1))


def test_a_long_race_on_a_terminal_shows_its_progress_on_stderr_only(terminal: Terminal, tmp_path: Path) -> None:
    """The scenario ends when the test has seen the bar."""
    mine = scenario_file(tmp_path / "slow.py", "wait_for((HERE / 'seen').exists)")
    with TemporaryFile("w+") as printed:
        race = ("race", mine, "--workers", "1", "--trials", "1", "--no-save")
        environment = {**os.environ, "TERM": "xterm"}
        with start_lab(*race, stdout=printed, stderr=terminal.end, env=environment, cwd=tmp_path) as lab:
            terminal.hand_over()
            shown = terminal.read(lambda text: "slow, lock fcntl, 1 worker" in text)
            (tmp_path / "seen").touch()
            terminal.read()
            assert lab.wait(PATIENCE_S) == 0
        printed.seek(0)
        assert re.search(r"0/1\b.*slow, lock fcntl, 1 worker", shown)
        assert "0/1" not in (text := printed.read())
        assert "\x1b" not in text


@pytest.mark.parametrize(
    ("options", "on_terminal", "children"), [([], True, 3), (["--quiet"], True, 2), ([], False, 2)]
)
def test_a_display_runs_beside_the_workers_only_on_a_terminal_and_unless_quiet(
    options: list[str], on_terminal: bool, children: int, terminal: Terminal, tmp_path: Path
) -> None:
    """And the process that forks keeps its one thread; the children are the worker, the keeper of its group, and it."""
    mine = scenario_file(tmp_path / "mine.py", RELATIVES)
    stderr = terminal.end if on_terminal else DEVNULL
    race: list[str | Path] = ["race", mine, "--workers", "1", "--trials", "1", "--no-save", *options]
    with start_lab(*race, stdout=DEVNULL, stderr=stderr, cwd=tmp_path) as lab:
        assert lab.wait(PATIENCE_S) == 0
    terminal.hand_over()
    assert (tmp_path / "note").read_text() == f"{children} 1"

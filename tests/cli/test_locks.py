from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from time import time_ns

import pytest

from lab.locking import RECORDER
from tests.cli.commands import refusal, working_lab
from tests.helpers import PATIENCE_S, is_running, run_lab
from tests.needs import missing

STUCK = """
import os, signal
from pathlib import Path

class Stuck:
    name, summary, has_ranges, excludes = "stuck", "never lets anybody in", False, True

    def actions(self, descriptor, start, length, *, write):
        Path({note!r}).write_text(str(os.getpid()))
        return signal.pause, int
"""


@pytest.fixture
def stuck(elsewhere: Path) -> Path:
    """A module of the user's, in the folder where the lab is started, and the note that its actor leaves."""
    note = elsewhere / "note"
    (elsewhere / "mine.py").write_text(STUCK.format(note=str(note)))
    return note


def test_locks_prints_the_comparison_how_it_was_seen_and_how_to_choose(tmp_path: Path) -> None:
    place = tmp_path / "place"
    place.mkdir()
    ended = run_lab("locks", "none", "fcntl", "ofd", "flock", "--dir", place, env={"COLUMNS": "200"})
    assert (ended.returncode, ended.stderr) == (0, "")
    rows = {line.split()[0]: line.split()[1:18] for line in ended.stdout.splitlines()[6:10]}
    assert rows["none"] == ["no", *"-" * 16]
    namespace = "-" if missing("pid_namespaces") else "yes"
    assert " ".join(rows["fcntl"]) == f"yes no no yes yes yes yes yes {namespace} no yes yes yes yes open yes fifo"
    for told in ("the columns", "how to choose", "Two locks at once in no fixed order: fcntl."):
        assert told in ended.stdout
    assert list(place.iterdir()) == []


def test_of_one_lock_the_calls_behind_each_cell_are_printed_and_kept(tmp_path: Path) -> None:
    document = tmp_path / "locks.json"
    printed = run_lab("locks", "ofd", "--dir", tmp_path, "--json", document)
    assert printed.returncode == 0
    assert "B  the lock that it waited for  granted" in printed.stdout
    assert "A, its child  unlocks" in printed.stdout
    csv = [line.split(",")[:2] for line in run_lab("report", document, "--format", "csv").stdout.splitlines()]
    assert csv == [["lock", "processes"], ["ofd", "yes"]]
    found = json.loads(document.read_text())
    not_tried = {"namespace"} if missing("pid_namespaces") else set()
    assert {cell["property"] for cell in found["cells"] if not cell["run"]} == not_tried
    assert found["environment"]["recorder"] == RECORDER


def test_an_unknown_lock_is_refused() -> None:
    assert "unknown lock 'fctl'; did you mean fcntl?" in refusal(2, "locks", "fctl")
    assert "unknown need 'range'; did you mean ranges?" in refusal(2, "locks", "--need", "kill,range")


def test_a_lock_that_never_lets_anybody_in_is_one_complaint_and_exit_code_3(stuck: Path, tmp_path: Path) -> None:
    ended = run_lab("locks", "mine:Stuck", "--seconds", "0.3", "--dir", tmp_path)
    assert ended.returncode == 3
    (told,) = ended.stderr.splitlines()
    assert told.startswith("lab: lock mine:Stuck: processes: inconclusive: ")
    assert "within 0.3 s; --seconds gives more" in told
    assert not is_running(int(stuck.read_text()))


PRINTS = """
import fcntl

class Alone:
    def actions(self, descriptor, start, length, *, write):
        def take():
            print("taken", flush=True)
            fcntl.lockf(descriptor, fcntl.LOCK_EX, length, start)
        return take, lambda: fcntl.lockf(descriptor, fcntl.LOCK_UN, length, start)
"""


def test_a_lock_of_one_method_is_compared_and_what_it_prints_is_not_in_the_document(
    elsewhere: Path, tmp_path: Path
) -> None:
    (elsewhere / "mine.py").write_text(PRINTS)
    place = tmp_path / "place"
    place.mkdir()
    ended = run_lab("locks", "mine:Alone", "--dir", place, "--json", "-")
    cells = {cell["property"]: cell["value"] for cell in json.loads(ended.stdout)["cells"]}
    assert (ended.returncode, cells["processes"], cells["ranges"]) == (0, "yes", "yes")
    assert "taken" in ended.stderr


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
def test_who_stops_it_leaves_no_actor_and_no_file(stop: signal.Signals, stuck: Path, tmp_path: Path) -> None:
    place = tmp_path / "place"
    place.mkdir()
    asks = lambda: stuck.exists() and stuck.read_text()  # noqa: E731
    with working_lab("locks", "mine:Stuck", "--seconds", "600", "--dir", place, until=asks) as lab:
        lab.send_signal(stop)
        printed, told = lab.communicate(timeout=PATIENCE_S)
    assert (lab.returncode, printed, told) == (130, "", "lab: interrupted\n")
    assert not is_running(int(stuck.read_text()))
    assert list(place.iterdir()) == []


DAEMON = """
import os, subprocess
from pathlib import Path
from lab.locking.kernel import Fcntl

class Daemon(Fcntl):
    def actions(self, descriptor, start, length, *, write):
        nowhere = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.DEVNULL)
        subprocess.Popen(["sleep", "600", "{marker}"], start_new_session=True, **nowhere)
        Path({note!r}).touch()
        return super().actions(descriptor, start, length, write=write)
"""


def test_what_a_lock_starts_does_not_outlive_the_command(elsewhere: Path) -> None:
    """Its actors are killed; what they started, in sessions of its own, is looked for at the end."""
    note = elsewhere / "note"
    marker = f"0.{time_ns()}"  # a process id would say nothing: a worker in a pid namespace has numbers of its own
    (elsewhere / "mine.py").write_text(DAEMON.format(note=str(note), marker=marker))
    run_lab("locks", "mine:Daemon", "--seconds", "2", cwd=elsewhere)
    assert note.exists()
    assert [line for line in command_lines() if marker in line] == []


def command_lines() -> Iterator[str]:
    """The command lines of all processes."""
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            yield path.read_text(errors="replace")

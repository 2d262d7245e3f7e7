"""A process is held between two of its system calls, and runs on however its tracer ends."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lab.processes import GroupReaper, fork_child
from lab.processes.tracer import GO_ON, RELEASED, Finding, Order, Tracer
from tests.helpers import PATIENCE_S, OtherProcess, in_fresh_process, is_asleep, is_running, wait_until

SCRIPT = ': >"$1/first"; read line; : >"$1/second"; : >/dev/null; : >"$1/third"'
LONG_S = 600.0


class Traced:
    """A shell that makes three files, the second once a line came; it is traced from its exec."""

    def __init__(self, folder: Path, places: dict[tuple[bool, int], float]) -> None:
        ready, self._begin = os.pipe()
        given, self._line = os.pipe()
        self.folder = folder
        self.reaper = GroupReaper()
        self.tracer = Tracer(folder.name, self.reaper.group)
        self.tracer.__enter__()
        self.found: list[Finding] = []

        def body() -> None:
            os.read(ready, 1)
            os.dup2(given, 0)
            os.execv("/bin/sh", ["sh", "-c", SCRIPT, "sh", str(folder)])  # noqa: S606

        self.pid = fork_child(body, group=self.reaper.group)
        self.tracer.send(Order(self.pid, places))

    def until(self, what: str) -> Finding:
        """Wait for a finding."""

        def came() -> bool:
            self.found += self.tracer.findings()
            return any(each.what == what for each in self.found)

        wait_until(came, what)
        found = next(each for each in self.found if each.what == what)
        self.found.remove(found)
        return found

    def begin(self) -> None:
        """Let it exec, once it is traced."""
        assert self.until("traced").error == ""
        os.write(self._begin, b".")

    def go_on(self, *, after_release: bool = False) -> None:
        """Give it the line, which it waits for where this is its release."""
        if after_release:
            wait_until(lambda: self.made() == ["first"] and is_asleep(self.pid), "it waits for its line")
            self.tracer.send(RELEASED)
        os.write(self._line, b"\n")

    def made(self) -> list[str]:
        """The files that it has made."""
        return sorted(path.name for path in self.folder.iterdir())

    def ends(self) -> int:
        """Its exit code, or minus the signal."""
        found = 0, 0
        deadline = time.monotonic() + PATIENCE_S
        while not found[0] and time.monotonic() < deadline:
            found = os.waitpid(self.pid, os.WNOHANG)
            time.sleep(0.001)
        return os.waitstatus_to_exitcode(found[1]) if found[0] else 99


@contextmanager
def traced(folder: str, places: dict[tuple[bool, int], float]) -> Iterator[Traced]:
    """It is gone after the block."""
    shell = Traced(Path(folder), places)
    try:
        yield shell
    finally:
        shell.tracer.end()
        shell.reaper.end()


def learns(folder: str) -> Any:
    with traced(folder, {}) as shell:
        shell.begin()
        shell.go_on(after_release=True)
        calls = shell.until("done").calls
        opened = [(call.file, call.released) for call in calls if call.name.startswith("open")]
        return opened, {call.file for call in calls} == {"first", "second", "third"}, shell.ends()


def test_calls_on_files_of_the_folder_are_learnt_and_others_are_not(tmp_path: Path) -> None:
    opened = [["first", False], ["second", True], ["third", True]]
    assert in_fresh_process(learns, str(tmp_path)) == [opened, True, 0]


def holds(folder: str) -> Any:
    """Held before the first file, until it may go on, and before the second, for a moment."""
    with traced(folder, {(False, 0): LONG_S, (True, 0): 0.001}) as shell:
        shell.begin()
        first = shell.until("held").call
        before = shell.made()
        shell.tracer.send(GO_ON)
        shell.go_on(after_release=True)
        second = shell.until("held").call
        shell.until("done")
        return str(first), before, str(second), shell.ends(), shell.made()


def test_it_is_held_before_a_call_until_it_may_go_on_or_for_a_time(tmp_path: Path) -> None:
    first, before, second, code, made = in_fresh_process(holds, str(tmp_path))
    assert (first, before) == ("openat of first", [])
    assert (second, code, made) == ("openat of second", 0, ["first", "second", "third"])


def ends_while_held(folder: str, how: str) -> Any:
    with traced(folder, {(False, 0): LONG_S}) as shell:
        shell.begin()
        shell.until("held")
        shell.go_on()
        if how == "copy killed":
            os.kill(shell.pid, signal.SIGKILL)
        else:
            os.kill(shell.tracer.pid, signal.SIGSTOP if "stopped" in how else signal.SIGCONT)
            shell.tracer.end()
        return shell.ends(), shell.made()


def of_each_end(folder: str) -> Any:
    found = []
    for how in ("copy killed", "tracer killed", "tracer stopped, then killed"):
        place = Path(folder, how)
        place.mkdir()
        found.append(ends_while_held(str(place), how))
    return found


def test_whichever_of_the_two_is_killed_the_other_goes_on(tmp_path: Path) -> None:
    all_made = [0, ["first", "second", "third"]]
    assert in_fresh_process(of_each_end, str(tmp_path)) == [[-9, []], all_made, all_made]


def refused(folder: str) -> str:
    with traced(folder, {}) as shell:
        assert shell.until("traced").error == ""
        with Tracer("other", shell.reaper.group) as second:
            second.send(Order(shell.pid))
            while not (found := list(second.findings())):
                time.sleep(0.001)
            return found[0].error


def test_where_it_may_not_trace_it_says_why(tmp_path: Path) -> None:
    assert in_fresh_process(refused, str(tmp_path)) == "Operation not permitted"


def hold(folder: str, note: str) -> None:
    shell = Traced(Path(folder), {(False, 0): LONG_S})
    shell.begin()
    shell.until("held")
    Path(note + ".part").write_text(f"{shell.pid} {shell.tracer.pid}")
    Path(note + ".part").rename(note)
    time.sleep(LONG_S)


def test_nothing_is_left_of_a_held_process_when_its_parent_is_killed(tmp_path: Path) -> None:
    folder, note = tmp_path / "folder", tmp_path / "note"
    folder.mkdir()
    with OtherProcess() as other:
        other.start(hold, str(folder), str(note))
        wait_until(note.exists, "it is held")
        pids = list(map(int, note.read_text().split()))
        assert all(map(is_running, pids))
        other.kill()
        wait_until(lambda: not any(map(is_running, pids)), "both are gone")
        assert list(folder.iterdir()) == []


def test_this_machine_is_known() -> None:
    """On another the row of a race says that its system calls are not known."""
    from lab.processes.ptrace import kinds_here

    arch, kinds = kinds_here()
    names = {kind.name for kind in kinds.values()}
    assert arch, sys.platform
    assert {"openat", "read", "pwrite64", "flock", "fcntl", "unlinkat", "renameat2", "ftruncate", "mmap"} <= names

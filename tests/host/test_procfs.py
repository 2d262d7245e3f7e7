from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from threading import Event, Thread

import pytest

from lab.host import procfs
from lab.host.procfs import (
    ASLEEP,
    ENDED,
    ListedLock,
    ListedMount,
    is_stopped,
    listed_locks,
    listed_mounts,
    process_stat,
    processes,
    sleeps_in,
    switches_of,
)
from tests.helpers import wait_until

GONE = 1 << 22
"""More than a process id may be (proc_sys_kernel(5), pid_max)."""


@pytest.mark.parametrize(
    ("line", "lock"),
    [
        ("1: POSIX  ADVISORY  WRITE 7 08:01:12 0 7", ListedLock("POSIX", "WRITE", 7, "08:01", 12, 0, 7, False)),
        ("1: -> OFDLCK ADVISORY  READ -1 08:01:12 4 EOF", ListedLock("OFDLCK", "READ", -1, "08:01", 12, 4, None, True)),
        ("2: LEASE  ACTIVE    READ 7 00:1b:9 0 EOF", ListedLock("LEASE", "READ", 7, "00:1b", 9, 0, None, False)),
        ("3: POSIX  *NOINODE* WRITE 7 <none>:0 0 7", ListedLock("POSIX", "WRITE", 7, "<none>", 0, 0, 7, False)),
        ("4: POSIX  ADVISORY", None),
        ("", None),
    ],
)
def test_a_line_of_the_locks_is_parsed(
    line: str, lock: ListedLock | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = tmp_path / "locks"
    made.write_text(f"{line}\n")
    monkeypatch.setattr(procfs, "LOCKS", str(made))
    assert listed_locks() == ([lock] if lock else [])
    assert listed_locks(" 08:01:1 ") == []


def test_a_mount_is_parsed_whatever_stands_between_its_options_and_its_type(monkeypatch: pytest.MonkeyPatch) -> None:
    text = "36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 shared:2 - ext3 /dev/root rw,errors=continue\ncut off\n"
    monkeypatch.setattr(Path, "read_text", lambda _: text)
    assert listed_mounts() == {"36": ListedMount("ext3", ["rw", "noatime", "rw", "errors=continue"], "62:00")}


def test_a_process_is_seen_asleep_stopped_and_ended() -> None:
    pid = os.fork()
    if not pid:
        signal.pause()
        os._exit(0)
    try:
        wait_until(lambda: procfs.process_stat(pid) in [(letter, os.getpid()) for letter in ASLEEP], "it sleeps")
        assert switches_of(pid) >= switches_of(pid, voluntary=True) > 0
        assert not is_stopped(pid)
        os.kill(pid, signal.SIGSTOP)
        wait_until(lambda: is_stopped(pid), "it is stopped")
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda: (pid, (ENDED, os.getpid())) in list(processes()), "it has ended")
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def test_a_thread_is_told_from_its_process() -> None:
    end = Event()
    thread = Thread(target=end.wait)
    thread.start()
    try:
        number = thread.native_id
        wait_until(lambda: process_stat(os.getpid(), number) == ("S", os.getppid()), "the thread sleeps")
        mine = process_stat(os.getpid(), os.getpid())
        assert mine
        assert mine.state == "R"
        before, theirs = (switches_of(os.getpid(), each, voluntary=True) for each in (os.getpid(), number))
        time.sleep(0.001)
        assert switches_of(os.getpid(), os.getpid(), voluntary=True) > before
        assert switches_of(os.getpid(), number, voluntary=True) == theirs
    finally:
        end.set()
        thread.join()


def test_of_a_process_that_is_gone_nothing_is_told() -> None:
    assert (process_stat(GONE), is_stopped(GONE), sleeps_in(GONE), switches_of(GONE)) == (None, False, "", 0)

"""`lab watch FILE` and `--pid`: who holds and waits on a file now, orphans, inheritors and deadlocks by name."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from struct import pack
from typing import Any

import pytest

from lab.host.procfs import ListedLock, listed_locks
from lab.records import WatchOptions
from lab.watching import now as watching_now
from lab.watching.now import look
from tests.helpers import ROOT, in_fresh_process, run_lab, wait_until
from tests.needs import other_user

SETLKW = {"fcntl": fcntl.F_SETLKW, "ofd": 38}


def take(kind: str, path: str, start: int = 0, length: int = 8, *, shared: bool = False) -> int:
    """Open the file, and wait for the lock."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT)
    if kind == "flock":
        fcntl.flock(descriptor, fcntl.LOCK_SH if shared else fcntl.LOCK_EX)
    else:
        record = pack("hhqqi4x", fcntl.F_RDLCK if shared else fcntl.F_WRLCK, os.SEEK_SET, start, length, 0)
        fcntl.fcntl(descriptor, SETLKW[kind], record)
    return descriptor


@contextmanager
def child(work: Callable[[], object]) -> Iterator[int]:
    """Fork a process that does this and then sleeps, and end it."""
    ready, told = os.pipe()
    pid = os.fork()
    if not pid:
        try:
            os.close(ready)
            work()
            os.write(told, b"!")
            signal.pause()
        finally:
            os._exit(1)
    os.close(told)
    os.set_blocking(ready, False)
    try:
        yield pid
    finally:
        os.close(ready)
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def waiting_on(path: str) -> int:
    inode = Path(path).stat().st_ino
    return sum(lock.waits and lock.inode == inode for lock in listed_locks())


def looked(path: str, pid: int = 0) -> dict[str, Any]:
    import msgspec

    files = [] if pid else [path]
    now: dict[str, Any] = msgspec.to_builtins(look(WatchOptions([], 0, files, [], [], 0.0, "", pid=pid)).now)
    return now


def in_a_queue(kind: str, path: str, by_pid: bool) -> list[object]:
    """One process holds the first 8 bytes, another waits for 4 of them; a third has others."""
    with child(lambda: take(kind, path)) as holder:
        wait_until(lambda: Path(path).exists() and bool(looked(path)["locks"]), "it is locked")
        with child(lambda: take(kind, path, 4, 8)) as waiter, child(lambda: take(kind, f"{path}.other")):
            wait_until(lambda: waiting_on(path) == 1, "it is waited for")
            now = looked(path, waiter if by_pid else 0)
            held, wanted = now["locks"]
            names = {holder: "holder", waiter: "waiter"}
            return [
                [names[each["pid"]] for each in held["processes"]],
                [names[each["pid"]] for each in wanted["processes"]],
                [names[pid] for pid in wanted["behind"]],
                [each["descriptors"] != [] for lock in now["locks"] for each in lock["processes"]],
                wanted["waiting_s"] is not None,
                [(lock["lock"], lock["exclusive"], lock["waits"], lock["last"]) for lock in now["locks"]],
                [Path(file).name for file in now["files"]],
            ]


@pytest.mark.parametrize("by_pid", [False, True])
@pytest.mark.parametrize(("kind", "last"), [("fcntl", (7, 11)), ("ofd", (7, 11)), ("flock", (None, None))])
def test_who_holds_and_who_waits_behind(tmp_path: Path, kind: str, last: tuple[object, ...], by_pid: bool) -> None:
    assert in_fresh_process(in_a_queue, kind, str(tmp_path / "data"), by_pid) == [
        ["holder"], ["waiter"], ["holder"], [True, True], True,
        [[kind, True, False, last[0]], [kind, True, True, last[1]]], ["data"],
    ]  # fmt: skip


def handed_on(kind: str, path: str, ends: bool) -> list[object]:
    """A process takes the lock, forks a child, and ends or stays."""
    pids = os.pipe()

    def takes() -> None:
        take(kind, path)
        inheritor = os.fork()
        if not inheritor:
            signal.pause()
        os.write(pids[1], b"%d\n" % inheritor)
        if ends:
            os._exit(0)

    with child(takes) as parent:
        inheritor = int(os.read(pids[0], 20))
        try:
            if ends:
                os.waitid(os.P_PID, parent, os.WEXITED | os.WNOWAIT)
            (lock,) = looked(path)["locks"]
            names = {parent: "parent", inheritor: "child"}
            return [lock["orphan"], [names[each["pid"]] for each in lock["processes"]]]
        finally:
            os.kill(inheritor, signal.SIGKILL)


@pytest.mark.parametrize(
    ("kind", "ends", "expected"),
    [
        pytest.param("flock", True, [True, ["child"]], marks=pytest.mark.needs("first_pid_namespace")),
        ("flock", False, [False, ["parent", "child"]]),
        ("ofd", True, [False, ["child"]]),
        ("fcntl", False, [False, ["parent"]]),
    ],
)
def test_a_lock_that_a_child_has_too(tmp_path: Path, kind: str, ends: bool, expected: list[object]) -> None:
    assert in_fresh_process(handed_on, kind, str(tmp_path / "data"), ends) == expected


def two_shared(path: str) -> list[int]:
    with child(lambda: take("ofd", path, shared=True)):
        wait_until(lambda: Path(path).exists() and len(looked(path)["locks"]) == 1, "one reads")
        with child(lambda: take("ofd", path, shared=True)):
            wait_until(lambda: len(looked(path)["locks"]) == 2, "two read")
            return [len(lock["processes"]) for lock in looked(path)["locks"]]


def test_two_readers_are_not_taken_for_one_open_file(tmp_path: Path) -> None:
    assert in_fresh_process(two_shared, str(tmp_path / "data")) == [1, 1]


def stays() -> None:
    """Fork a child that has the same open files until its parent ends."""
    parent = os.getpid()
    if not os.fork():
        while os.getppid() == parent:
            time.sleep(0.01)
        os._exit(0)


def crossed(kind: str, path: str, closes: bool, shared: bool) -> list[object]:
    """Two processes each hold a file and wait for the other's; or the second waits for a third file.

    Where the first lock is `shared` with a child of its process, that one could release it.
    """
    go = os.pipe()

    def first() -> None:
        take(kind, path)
        if shared:
            stays()
        os.read(go[0], 1)
        take(kind, f"{path}.other")

    def second() -> None:
        take(kind, f"{path}.other")
        os.read(go[0], 1)
        take(kind, path if closes else f"{path}.third")

    with child(lambda: take(kind, f"{path}.third")), child(first) as one, child(second) as two:
        files = (path, f"{path}.other", f"{path}.third")
        wait_until(lambda: all(Path(each).exists() and looked(each)["locks"] for each in files), "all are locked")
        os.write(go[1], b"..")
        last = path if closes else f"{path}.third"
        wait_until(lambda: waiting_on(f"{path}.other") + waiting_on(last) == 2, "both wait")
        return [sorted(map([one, two].index, ring)) for ring in looked(path)["deadlocks"]]


@pytest.mark.parametrize(
    ("closes", "shared", "expected"), [(True, False, [[0, 1]]), (False, False, []), (True, True, [])]
)
@pytest.mark.parametrize("kind", ["flock", "ofd"])
def test_a_ring_of_processes_is_a_deadlock(
    tmp_path: Path, kind: str, closes: bool, shared: bool, expected: list[object]
) -> None:
    """The kernel refuses to close a ring of POSIX locks (EDEADLK), and looks for no other."""
    assert in_fresh_process(crossed, kind, str(tmp_path / "data"), closes, shared) == expected


def test_the_command_line(tmp_path: Path) -> None:
    path = tmp_path / "data.db"
    path.touch()
    idle = run_lab("watch", "data.db", cwd=tmp_path)
    assert (idle.returncode, idle.stdout.splitlines()[0]) == (0, "data.db: nobody holds a lock on it, and nobody waits")
    guard = os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT)
    fcntl.flock(guard, fcntl.LOCK_EX)
    try:
        assert "locked beside it: data.db.lock" in run_lab("watch", "data.db", cwd=tmp_path).stdout
        held = run_lab("watch", "data.db.lock", "--json", "now.json", cwd=tmp_path)
        again = run_lab("report", "now.json", cwd=tmp_path)
        table = run_lab("watch", "data.db.lock", "--format", "csv", cwd=tmp_path)
    finally:
        os.close(guard)
    assert held.returncode == 0
    assert held.stdout.startswith("data.db.lock: 1 lock held by 1 process, nobody waits\n")
    assert [line for line in held.stdout.splitlines() if len(line) > 80] == []
    assert again.stdout == held.stdout.replace("written to now.json\n", "")
    (lock,) = json.loads((tmp_path / "now.json").read_text())["now"]["locks"]
    assert [each["pid"] for each in lock["processes"]] == [os.getpid()]
    assert table.stdout.splitlines()[1].split(",")[:2] == ["data.db.lock", "holds"]


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (("nowhere.db",), 2, "nowhere.db: No such file or directory"),
        (("--pid", str(1 << 22)), 2, "there is no such process"),
        ((sys.executable, "prog.py"), 2, "watch -- "),
        ((sys.executable,), 0, "is a program; to run it: "),
        (("x.db", "--", "true"), 2, "use --file x.db"),
        (("x.db", "--pid", "1"), 2, "give a command behind --"),
    ],
)
def test_what_is_no_file_is_answered_with_a_line(
    tmp_path: Path, words: tuple[str, ...], code: int, message: str
) -> None:
    done = run_lab("watch", *words, cwd=tmp_path)
    assert (done.returncode, message in done.stderr) == (code, True), done.stderr


@pytest.mark.needs("other_users")
def test_what_only_root_can_see_is_counted(tmp_path: Path) -> None:
    descriptor = take("ofd", str(tmp_path / "data"))
    command = [*other_user(100_000 + os.getpid()), sys.executable, "-m", "lab", "watch", str(tmp_path / "data")]
    done = subprocess.run([*command, "--json", "-"], cwd=ROOT, capture_output=True, text=True, check=False)
    os.close(descriptor)
    now = json.loads(done.stdout)["now"]
    assert (now["unreadable"] > 0, now["unnamed"], [lock["processes"] for lock in now["locks"]]) == (True, 1, [[]])
    assert (done.returncode, "be root" in done.stderr) == (3, True)


@pytest.mark.parametrize(
    ("readings", "found"),
    [(["ab", "aab", "ab"], "ab"), (["ab", "b", "ab"], "ab"), (["", "a", ""], ""), (["aa", "aa", "a"], "aa")],
)
def test_a_line_that_one_reading_has_twice_or_misses_is_counted_as_in_the_others(
    monkeypatch: pytest.MonkeyPatch, readings: list[str], found: str
) -> None:
    left = iter(readings)
    made = {name: ListedLock("POSIX", "WRITE", ord(name), "0:1", 1, 0, None, waits=False) for name in "ab"}
    monkeypatch.setattr(watching_now, "listed_locks", lambda: [made[name] for name in next(left)])
    assert [chr(lock.pid) for lock in watching_now.steady_locks()] == list(found)

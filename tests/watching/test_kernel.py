"""The kernel tells what a program locks, of any program; what it tells is read rightly, and nothing of it stays."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from lab.analysis.watched import END, Kind
from lab.errors import CannotRunError
from lab.host.tracefs import NAME, TraceInstance
from lab.processes.ptrace import numbers_here
from lab.records import WatchOptions
from lab.watching.kernel import KernelWatcher
from lab.watching.run import judge_again, watch
from lab.watching.tracepoints import TRACE, history_of
from tests.helpers import EXHAUSTIVE, PATIENCE_S, ROOT, OtherProcess
from tests.needs import other_user
from tests.watching.test_gallery import COPIES, HANGS, RIGHT, WRONG, causes

HERE = Path(__file__).parent
SEEN = (
    "closes_another", "closes_a_copy", "closes_a_stream", "two_kinds", "opposite_order", "unlocked_by_child",
    "kept_by_child", "never_unlocks", "made_exclusive", "unlocks_nothing", "killed_inside",
)  # fmt: skip
"""The programs whose fault is one of locks alone."""

SAMPLE = {"plain", "open_description", "shared_by_workers", "closed_to_unlock", "closes_another", "opposite_order",
          "kept_by_child", "unlocked_by_child"}  # fmt: skip


def line(tid: int, at: int, event: str, rest: str) -> str:
    return f"           prog-{tid}     [001] ...1. 100.{at:06}: {event}: {rest}\n"


def enters(tid: int, at: int, name: str, *arguments: int) -> str:
    words = ", ".join(f"{each:x}" for each in (*arguments, 0, 0, 0, 0))
    return line(tid, at, "sys_enter", f"NR {numbers_here()[name]} ({words})")


def locks(tid: int, at: int, kind: str, start: int, end: int, ret: int = 0, flags: str = "FL_POSIX|FL_SLEEP") -> str:
    what = f"fl_blocker=0 fl_owner=f{tid} fl_pid={tid} fl_flags={flags} fl_type={kind} fl_start={start} fl_end={end}"
    event = "locks_remove_posix" if "FL_CLOSE" in flags else "posix_lock_inode"
    return line(tid, at, event, f"fl=0 dev=0xfe:0x1 ino=0x10 {what} ret={ret}")


def requests(*lines: str) -> list[tuple[int, int, int, int]]:
    """Return start, end, result and finish of each request, the last as whether there is one."""
    events = history_of("# file 254 1 16 /data/x y\n" + "".join(lines)).events
    return [(each.start, each.end, each.result, bool(each.finish)) for each in events if each.kind is Kind.POSIX]


def test_a_range_is_what_was_asked_for() -> None:
    """The kernel tells a grant together with what it joins: byte 1 beside byte 0, and all behind it."""
    first = enters(7, 1, "fcntl", 3, 7), locks(7, 2, "F_WRLCK", 0, 0)
    second = enters(7, 3, "fcntl", 3, 7), locks(7, 4, "F_WRLCK", 0, 1)
    third = enters(7, 5, "fcntl", 3, 7), locks(7, 6, "F_WRLCK", 0, (1 << 63) - 1)
    assert requests(*first, *second, *third) == [(0, 1, 0, True), (1, 2, 0, True), (2, END, 0, True)]


def test_who_waits_is_granted_refused_or_waits_on() -> None:
    waits = enters(7, 1, "fcntl", 3, 7), locks(7, 2, "F_WRLCK", 0, 7, 1)
    assert requests(*waits) == [(0, 8, 0, False)]
    assert requests(*waits, locks(7, 9, "F_WRLCK", 0, 7)) == [(0, 8, 0, True)]
    assert requests(*waits, enters(7, 1, "fcntl", 3, 7), locks(7, 9, "F_WRLCK", 0, 7)) == [(0, 8, 0, True)]
    assert requests(*waits, enters(7, 9, "close", 3)) == [(0, 8, 4, True)]  # EINTR
    deadlock = locks(7, 3, "F_WRLCK", 0, 7, -35)
    assert requests(enters(7, 1, "fcntl", 3, 7), deadlock) == [(0, 8, 35, True)]


def test_what_was_lost_is_said_and_a_file_has_its_name() -> None:
    history = history_of("# file 254 1 16 /data/x y\nCPU:1 [LOST 1234 EVENTS]\n" + locks(7, 2, "F_WRLCK", 0, 0))
    assert any(each.startswith("1,234 events") for each in history.limits)
    assert [file.path for file in history.files] == ["/data/x y"]


def found(program: list[str], file: str, copies: int, limit_s: float, keep: str) -> list[list[object]]:
    Path(file).write_bytes(bytes(4096))
    options = WatchOptions([*program, file, "{worker}"], copies, [], [], [], limit_s, keep, recorder="kernel")
    done = watch(options)
    again = judge_again(Path(keep), replace(options, recorder="library"))
    assert (again.findings, again.options) == (done.findings, options)
    if program[-1] != "inode_checked":  # files that are replaced are not there any more to be named
        assert {Path(each.file).name.partition(".")[0] for each in done.locked} <= {"data"}
    return [[each.cause, each.note, []] for each in done.findings]


@pytest.fixture(scope="module")
def gallery(tmp_path_factory: pytest.TempPathFactory) -> str:
    program = tmp_path_factory.mktemp("static") / "gallery"
    command = ["cc", "-g", "-O1", "-w", "-static", str(HERE / "gallery.c"), "-o", str(program), "-pthread"]
    subprocess.run(command, check=True)
    return str(program)


@pytest.fixture(scope="module")
def other() -> Iterator[OtherProcess]:
    with OtherProcess() as process:
        yield process


EXPECTED = {**{name: set[str]() for name in RIGHT}, **{name: WRONG[name] for name in SEEN}}


@pytest.mark.needs("compiler")
@pytest.mark.needs("tracefs")
@pytest.mark.parametrize("name", [name for name in EXPECTED if EXHAUSTIVE or name in SAMPLE])
def test_faults_of_locks_alone_are_found(gallery: str, other: OtherProcess, tmp_path: Path, name: str) -> None:
    command, keep = [gallery, name], str(tmp_path / "logs")
    findings = other.call(found, command, str(tmp_path / "data"), COPIES, HANGS.get(name, 30.0), keep)
    assert causes(findings) == EXPECTED[name]


def instances() -> set[str]:
    """Return the names of the lab's instances, by another look at tracefs."""
    with TraceInstance({}) as mine:
        return {each.name for each in mine.all() if re.fullmatch(NAME + r"\d+", each.name)} - {f"{NAME}{os.getpid()}"}


def mounted() -> list[str]:
    """Return where tracefs is mounted; other tests mount other filesystems meanwhile."""
    return [line for line in Path("/proc/mounts").read_text().splitlines() if "tracefs" in line]


KILLED = """
import os, signal
from lab.host.tracefs import TraceInstance
with TraceInstance({"filelock/posix_lock_inode": ""}) as instance:
    instance.follow([os.getpid()])
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.needs("tracefs")
def test_nothing_stays_even_of_a_killed_lab() -> None:
    before = mounted()
    program = subprocess.Popen([sys.executable, "-c", KILLED], cwd=ROOT)
    assert program.wait(PATIENCE_S) == -signal.SIGKILL
    assert f"{NAME}{program.pid}" not in instances()
    assert mounted() == before


@pytest.mark.needs("tracefs")
def test_events_that_do_not_fit_are_counted(tmp_path: Path) -> None:
    code = "import fcntl, sys\nf = open(sys.argv[1], 'w')\nfor _ in range(20000): fcntl.lockf(f, 2); fcntl.lockf(f, 8)"
    shell = ["/bin/sh", "-c", 'read x; exec "$@"', "sh", sys.executable, "-c", code, str(tmp_path / "data")]
    program = subprocess.Popen(shell, stdin=subprocess.PIPE)
    with KernelWatcher(tmp_path, [], [], buffer_kb=64) as watcher:
        watcher.begin([program.pid])
        program.communicate(b"\n", PATIENCE_S)
    history = history_of((tmp_path / TRACE).read_text())
    assert any("for which the kernel's buffer had no room" in each for each in history.limits)
    assert 0 < sum(each.kind is Kind.POSIX for each in history.events) < 40_000


@pytest.mark.needs("tracefs")
@pytest.mark.needs("other_users")
def test_without_root_it_says_so() -> None:
    code = "from lab.host.tracefs import TraceInstance; TraceInstance({}).__enter__()"
    command = [*other_user(100_000 + os.getpid()), sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=PATIENCE_S, check=False)
    assert "CannotRunError: no tracepoints here: tracefs: Operation not permitted" in done.stderr


@pytest.mark.needs("tracefs")
def test_a_tracepoint_that_is_not_there_is_named() -> None:
    with pytest.raises(CannotRunError, match="this kernel has no tracepoint filelock/nothing"):
        TraceInstance({"filelock/nothing": ""}).__enter__()

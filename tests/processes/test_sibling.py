from __future__ import annotations

import os
import platform
import signal
from contextlib import suppress
from pathlib import Path

import pytest

from lab.processes import fork_child
from lab.processes.child import SYS_CLONE, fork_sibling
from lab.processes.deadlines import Watched
from tests.helpers import in_fresh_process, is_running, wait_until

pytestmark = pytest.mark.skipif(platform.machine() not in SYS_CLONE, reason="clone(2) is not known on this machine")


def maker_and_made(share_files: bool = False, ends: bool = True) -> tuple[int, int, int, int]:
    """A child opens /dev/null and has a sibling that closes it: their pids, the sibling's parent, what the child saw.

    What it saw is 1 where its descriptor is still open after the sibling's end.
    """
    reader, writer = os.pipe()

    def child() -> None:
        null = os.open("/dev/null", os.O_RDONLY)
        done, tells = os.pipe()

        def made() -> None:
            os.write(writer, b"%d %d " % (os.getpid(), os.getppid()))
            os.close(null)
            os.write(tells, b".")
            if not ends:
                signal.pause()

        fork_sibling(made, share_files=share_files)
        os.read(done, 1)
        still_open = 1
        try:
            os.fstat(null)
        except OSError:
            still_open = 0
        os.write(writer, b"%d " % still_open)

    maker = fork_child(child)
    os.waitpid(maker, 0)
    pid, parent, still_open = map(int, os.read(reader, 100).split())
    return maker, pid, parent, still_open


def of_one_parent() -> tuple[bool, int]:
    _, pid, parent, _ = maker_and_made()
    return parent == os.getpid(), os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def test_a_sibling_is_a_child_of_the_parent_and_reaped_by_it() -> None:
    assert in_fresh_process(of_one_parent) == [True, 0]


def what_the_maker_saw(share_files: bool) -> int:
    return maker_and_made(share_files=share_files)[3]


@pytest.mark.parametrize(("shared", "still_open"), [(False, 1), (True, 0)])
def test_only_with_shared_files_its_close_is_the_maker_s_too(shared: bool, still_open: int) -> None:
    assert in_fresh_process(what_the_maker_saw, shared) == still_open


def outlived_maker() -> bool:
    _, pid, _, _ = maker_and_made(ends=False)
    alive = is_running(pid)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    return alive


def test_it_lives_on_when_its_maker_ends() -> None:
    assert in_fresh_process(outlived_maker)


def die_with_a_sibling_alive(told: str) -> None:
    def parent() -> None:
        _, pid, _, _ = maker_and_made(ends=False)
        Path(told).write_text(str(pid))
        os.kill(os.getpid(), signal.SIGKILL)

    os.waitpid(fork_child(parent), 0)


def test_it_is_killed_when_that_parent_dies(tmp_path: Path) -> None:
    in_fresh_process(die_with_a_sibling_alive, str(tmp_path / "pid"))
    pid = int((tmp_path / "pid").read_text())
    wait_until(lambda: not is_running(pid), "the sibling has ended")


def test_where_clone_is_not_known_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platform.machine", lambda: "pdp11")
    with pytest.raises(OSError, match="not known"):
        fork_sibling(lambda: None)


def interrupted_in_a_sibling() -> str:
    """What SIGUSR1 does to a sibling that has a handler in Python."""
    reader, writer = os.pipe()

    def handle(*_: object) -> None:
        os.write(writer, b"handled")

    def made() -> None:
        signal.signal(signal.SIGUSR1, handle)
        os.write(writer, b"%d\n" % os.getpid())
        with suppress(InterruptedError):
            signal.pause()

    def maker() -> None:
        fork_sibling(made)

    os.waitpid(fork_child(maker), 0)
    pid = int(os.read(reader, 100))
    watched = Watched(pid)
    assert watched.reaches("S", 10.0, wanted=True)
    watched.send(signal.SIGUSR1)
    heard = os.read(reader, 100).decode()
    watched.wait(10.0)
    return heard


def test_python_s_signal_handlers_run_in_it() -> None:
    assert in_fresh_process(interrupted_in_a_sibling) == "handled"

"""The locks of the kernel between processes: what each grants and refuses, waits for, keeps and loses."""

from __future__ import annotations

import errno
import fcntl
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import NamedTuple

import pytest

from lab.locking import NATIVE, Action, find_lock, kernel
from lab.locking.kernel import FLOCK
from tests.helpers import PATIENCE_S, ROOT, OtherProcess, in_fresh_process, wait_until
from tests.locking.holder import (
    CALLS,
    REFUSED,
    give_back,
    needs,
    open_file,
    refusal,
    take,
    take_through,
    use_python_calls,
    waiters,
)
from tests.needs import need_program

R, W = False, True
GRANTED, EXCLUDED = True, False
FAR = 2**40 + 8

ranges = pytest.mark.parametrize("name", ["fcntl", "ofd"])
every = pytest.mark.parametrize("name", ["fcntl", "ofd", "flock"])

Range = tuple[int, int, bool]
"""Start, length, and whether it is written to."""


class Held(NamedTuple):
    """What another process holds through one descriptor, and how requests of this one are answered."""

    taken: list[Range]
    given_back: int
    answers: list[tuple[int, int, bool, bool]]


RANGES = {
    "a written range excludes": Held([(8, 8, W)], 0, [(8, 8, W, EXCLUDED), (8, 8, R, EXCLUDED)]),
    "readers share": Held([(8, 8, R)], 0, [(8, 8, R, GRANTED), (8, 8, W, EXCLUDED)]),
    "ranges that touch are free": Held([(8, 8, W)], 0, [(0, 8, W, GRANTED), (16, 8, W, GRANTED)]),
    "one shared byte is not": Held([(8, 8, W)], 0, [(0, 9, W, EXCLUDED), (15, 1, W, EXCLUDED)]),
    "length 0 is up to the end": Held([(8, 0, W)], 0, [(2**62, 1, W, EXCLUDED), (0, 8, W, GRANTED)]),
    "beyond 32 bits": Held([(FAR, 8, W)], 0, [(FAR, 8, W, EXCLUDED), (8, 8, W, GRANTED)]),
    "given back": Held([(8, 8, W)], 1, [(8, 8, W, GRANTED)]),
    "one of two given back": Held([(0, 8, W), (8, 8, W)], 1, [(0, 8, W, EXCLUDED), (8, 8, W, GRANTED)]),
}
WHOLE = {
    "a range excludes from the file": Held([(4000, 1, W)], 0, [(0, 0, W, EXCLUDED), (0, 0, R, EXCLUDED)]),
    "readers share": Held([(0, 8, R)], 0, [(0, 0, R, GRANTED), (0, 0, W, EXCLUDED)]),
    "given back": Held([(0, 8, W)], 1, [(0, 0, W, GRANTED)]),
    "two of three given back": Held([(0, 8, W), (8, 8, W), (16, 8, W)], 2, [(0, 0, W, EXCLUDED)]),
    "three of three given back": Held([(0, 8, W), (8, 8, W), (16, 8, W)], 3, [(0, 0, W, GRANTED)]),
    "written inside a read range": Held([(0, 8, R), (8, 8, W)], 0, [(0, 0, R, EXCLUDED)]),
    "read inside a written range": Held([(0, 8, W), (8, 8, R)], 0, [(0, 0, R, EXCLUDED)]),
}
TABLE = [(name, case) for names, cases in ((("fcntl", "ofd"), RANGES), (("flock",), WHOLE))
         for name in names for case in cases]  # fmt: skip


def hold(name: str, path: str, taken: list[Range], given_back: int) -> None:
    descriptor = open_file(path)
    for held in taken:
        take_through(descriptor, name, *held)
    for _ in range(given_back):
        give_back()


@pytest.mark.parametrize(("name", "case"), TABLE, ids=map(": ".join, TABLE))
def test_requests_of_another_process_are_answered(
    name: str, case: str, other: OtherProcess, path: Path, here: int
) -> None:
    taken, given_back, answers = (WHOLE if name == "flock" else RANGES)[case]
    other.call(hold, name, str(path), taken, given_back)
    for start, length, write, granted in answers:
        assert (refusal(name, here, start, length, write=write) not in REFUSED) is granted


def test_after_a_written_range_of_the_file_was_given_back_a_read_range_is_shared_again(
    other: OtherProcess, path: Path, here: int
) -> None:
    descriptor = other.call(open_file, str(path))
    other.call(take_through, descriptor, "flock", 0, 8, W)
    other.call(give_back)
    other.call(take_through, descriptor, "flock", 0, 8, R)
    assert refusal("flock", here, 0, 8, write=R) == 0


def test_a_range_held_on_one_open_file_is_not_counted_for_another(other: OtherProcess, path: Path, here: int) -> None:
    second = path.with_name("second")
    second.touch()
    other.call(take, "flock", str(second), 0, 8, W)
    other.call(take, "flock", str(path), 0, 8, W)
    assert refusal("flock", here, 0, 8, write=W) in REFUSED


@every
def test_the_death_of_the_holder_releases(name: str, path: Path, here: int) -> None:
    with OtherProcess() as other:
        other.call(take, name, str(path), 8, 8, W)
        assert refusal(name, here, 8, 8, write=W) in REFUSED
        other.kill()
    assert refusal(name, here, 8, 8, write=W) == 0


@ranges
def test_getlk_reports_the_holder(name: str, other: OtherProcess, path: Path, here: int) -> None:
    other.call(take, name, str(path), 8, 16, W)
    asked = fcntl.fcntl(here, fcntl.F_GETLK, FLOCK.pack(fcntl.F_RDLCK, os.SEEK_SET, 0, 0, 0))
    owner = other.pid if name == "fcntl" else -1
    assert FLOCK.unpack(asked) == (fcntl.F_WRLCK, os.SEEK_SET, 8, 16, owner)


@every
def test_acquire_waits_until_the_holder_gives_back(name: str, other: OtherProcess, path: Path, here: int) -> None:
    acquire, release = find_lock(name).actions(here, 0, 8, write=True)
    acquire()
    other.start(take, name, str(path), 0, 8, W)
    wait_until(lambda: waiters(path) == 1, "the other process waits for the lock")
    release()
    other.answer()
    assert refusal(name, here, 0, 8, write=W) in REFUSED


@ranges
@pytest.mark.parametrize("raises", [False, True])
def test_a_signal_ends_the_wait_only_where_its_handler_raises_and_leaves_nothing_queued(
    name: str, raises: bool, other: OtherProcess, path: Path, here: int
) -> None:
    acquire, release = find_lock(name).actions(here, 0, 8, write=True)
    acquire()
    seen = path.with_name("seen")
    other.call(on_sigusr1, str(seen), raises)
    other.start(take, name, str(path), 0, 8, W)
    wait_until(lambda: waiters(path) == 1, "the other process waits for the lock")
    os.kill(other.pid, signal.SIGUSR1)
    if raises:
        with pytest.raises(AssertionError, match="InterruptedByTest"):
            other.answer()
    else:
        wait_until(seen.exists, "the handler ran")
        wait_until(lambda: waiters(path) == 1, "the other process waits again")
    release()
    if not raises:
        other.answer()
    assert (waiters(path), refusal(name, here, 0, 8, write=W) in REFUSED) == (0, not raises)


def test_a_ring_of_posix_locks_is_refused_with_edeadlk(other: OtherProcess, path: Path) -> None:
    with OtherProcess() as third:
        other.call(take, "fcntl", str(path), 0, 8, W)
        third.call(take, "fcntl", str(path), 8, 8, W)
        third.start(take, "fcntl", str(path), 0, 8, W)
        wait_until(lambda: waiters(path) == 1, "the third process waits for the second")
        assert other.call(errno_of_take, "fcntl", str(path), 8, 8) == errno.EDEADLK
        other.call(give_back)
        third.answer()


def second_descriptor(name: str, path: str) -> int:
    """What a second descriptor of the process that holds the lock is answered."""
    return refusal(name, open_file(path), 0, 8, write=W)


def in_a_child(name: str, path: str) -> int:
    """What a forked child of the holder is answered."""
    pid = os.fork()
    if not pid:
        os._exit(refusal(name, os.open(path, os.O_RDWR), 0, 8, write=W))
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


@pytest.mark.parametrize(
    ("name", "ask", "granted"),
    [
        ("fcntl", second_descriptor, GRANTED),
        ("ofd", second_descriptor, EXCLUDED),
        ("flock", second_descriptor, EXCLUDED),
        ("fcntl", in_a_child, EXCLUDED),
    ],
)
def test_who_counts_as_the_owner(
    name: str, ask: Callable[[str, str], int], granted: bool, other: OtherProcess, path: Path
) -> None:
    other.call(take, name, str(path), 0, 8, W)
    assert (other.call(ask, name, str(path)) not in REFUSED) is granted


@every
def test_closing_any_descriptor_drops_the_posix_locks_of_the_process_and_no_others(
    name: str, other: OtherProcess, path: Path, here: int
) -> None:
    other.call(take, name, str(path), 0, 8, W)
    other.call(open_and_close, str(path))
    assert (refusal(name, here, 0, 8, write=W) == 0) is (name == "fcntl")


def test_a_forked_childs_unlock_drops_the_ofd_lock_that_it_shares(other: OtherProcess, path: Path, here: int) -> None:
    other.call(take, "ofd", str(path), 0, 8, W)
    other.call(give_back_in_a_child)
    assert refusal("ofd", here, 0, 8, write=W) == 0


@pytest.mark.parametrize("call", CALLS)
def test_waiting_lets_other_threads_run(call: str, path: Path) -> None:
    """The thread that holds the lock sees the main thread wait, and only then gives it back."""
    needs(call)
    assert in_fresh_process(hand_over_between_threads, call, str(path)) == "granted"


@ranges
@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize(
    ("mode", "start", "length", "numbers"),
    [
        (os.O_RDONLY, 0, 8, {errno.EBADF}),
        (os.O_RDWR, -1, 8, {errno.EINVAL}),
        (os.O_RDWR, 2**63 - 1, 8, {errno.EOVERFLOW, errno.EINVAL}),
    ],
)
def test_what_the_kernel_refuses_raises_with_its_errno(
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    call: str,
    path: Path,
    mode: int,
    start: int,
    length: int,
    numbers: set[int],
) -> None:
    needs(call)
    if call == "python":
        monkeypatch.setattr(kernel, "CALL", kernel.python_call)
    descriptor = os.open(path, mode)
    acquire, _ = find_lock(name).actions(descriptor, start, length, write=True)
    with pytest.raises(OSError, match=r"\[Errno") as raised:
        acquire()
    os.close(descriptor)
    assert raised.value.errno in numbers


@pytest.mark.needs("compiled")
def test_the_compiled_call_refuses_wrong_arguments() -> None:
    assert NATIVE
    with pytest.raises(TypeError, match="Call"):
        NATIVE.Call(0, NATIVE.FLOCK, fcntl.LOCK_EX, 0, 0, "no unlock")
    with pytest.raises(OverflowError):
        NATIVE.Call(0, fcntl.F_SETLKW, fcntl.F_WRLCK, 2**63, 1)
    call = NATIVE.Call(0, fcntl.F_SETLKW, fcntl.F_UNLCK, 0, 1)
    with pytest.raises(TypeError, match="0 arguments"):
        call(1)


def test_a_request_that_fails_leaves_nothing_to_give_back(path: Path, here: int) -> None:
    """After a refused request the next one must call the kernel again, not believe that it holds the file."""
    descriptor = os.open(path, os.O_RDWR)
    acquire, release = find_lock("flock").actions(descriptor, 0, 8, write=True)
    os.close(descriptor)
    with pytest.raises(OSError, match="Bad file descriptor"):
        acquire()
    assert os.open(path, os.O_RDWR) == descriptor
    acquire()
    assert refusal("flock", here, 0, 8, write=W) in REFUSED
    release()
    assert refusal("flock", here, 0, 8, write=W) == 0
    os.close(descriptor)


def left_by_a_child(path: str) -> str:
    """What a forked child comes to that gives back the lock it has inherited, and asks for it when another has it."""
    acquire, release = find_lock("flock").actions(open_file(path), 0, 8, write=True)
    acquire()
    read, write = os.pipe()
    child = os.fork()
    if not child:
        try:
            os.write(write, _given_back_and_asked_again(path, acquire, release).encode())
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    return os.read(read, 100).decode()


def _given_back_and_asked_again(path: str, acquire: Action, release: Action) -> str:
    release()
    other = os.open(path, os.O_RDWR)
    if refusal("flock", other, 0, 8, write=W):
        return "not given back"
    fcntl.flock(other, fcntl.LOCK_EX)
    signal.signal(signal.SIGALRM, interrupted)
    signal.setitimer(signal.ITIMER_REAL, 0.1)
    try:
        acquire()
    except InterruptedError:
        return "waited"
    return "let in"


def interrupted(number: int, frame: object) -> None:
    raise InterruptedError


def test_a_child_that_gives_back_what_it_inherited_asks_the_kernel_again(other: OtherProcess, path: Path) -> None:
    assert other.call(left_by_a_child, str(path)) == "waited"


REFUSES = """
#include <errno.h>
int flock(int descriptor, int operation) { (void)descriptor; (void)operation; errno = ENOLCK; return -1; }
"""

LOCKS = """
import sys
from lab.locking import find_lock
with open(sys.argv[1], "rb+") as file:
    acquire, _ = find_lock("flock").actions(file.fileno(), 0, 8, write=True)
    acquire()
"""


@pytest.mark.parametrize("preloaded", [False, True])
def test_a_library_in_front_of_the_lock_calls_is_called(preloaded: bool, path: Path) -> None:
    """Where none is, the call may be made without any library."""
    need_program("cc")
    library, before = path.with_name("refuses.so"), os.environ.get("LD_PRELOAD", "")
    command = ["cc", "-shared", "-fPIC", "-x", "c", "-", "-o", str(library)]
    subprocess.run(command, input=REFUSES, text=True, check=True, timeout=PATIENCE_S)
    env = {**os.environ, "LD_PRELOAD": f"{before} {library}" if preloaded else before}
    ended = subprocess.run(
        [sys.executable, "-c", LOCKS, str(path)], env=env, cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE_S,
        check=False,
    )  # fmt: skip
    assert ("No locks available" in ended.stderr, ended.returncode) == ((True, 1) if preloaded else (False, 0))


def test_no_lock_lets_everybody_in_at_once_and_says_so(other: OtherProcess, path: Path, here: int) -> None:
    other.call(take, "none", str(path), 0, 8, W)
    acquire, release = find_lock("none").actions(here, 0, 8, write=True)
    acquire()
    release()
    assert not find_lock("none").excludes


def test_the_lock_of_whole_files_says_that_it_has_no_ranges() -> None:
    lock = find_lock("flock")
    assert not lock.has_ranges
    assert "no ranges" in lock.summary


def open_and_close(path: str) -> None:
    os.close(os.open(path, os.O_RDONLY))


def errno_of_take(name: str, path: str, start: int, length: int) -> int | None:
    try:
        take(name, path, start, length, W)
    except OSError as error:
        return error.errno
    return 0


def give_back_in_a_child() -> None:
    pid = os.fork()
    if not pid:
        give_back()
        os._exit(0)
    assert os.waitpid(pid, 0)[1] == 0


class InterruptedByTest(Exception):  # noqa: N818
    pass


def on_sigusr1(path: str, raises: bool) -> None:
    def handler(number: int, frame: FrameType | None) -> None:
        Path(path).touch()
        if raises:
            raise InterruptedByTest

    signal.signal(signal.SIGUSR1, handler)


def hand_over_between_threads(call: str, path: str) -> str:
    """An OFD lock held by a thread through a descriptor of its own, and waited for by the main thread."""
    if call == "python":
        use_python_calls()
    lock = find_lock("ofd")
    acquire, release = lock.actions(open_file(path), 0, 8, write=True)
    acquire()

    def give_back_when_waited_for() -> None:
        wait_until(lambda: waiters(Path(path)) == 1, "the main thread waits")
        release()

    thread = threading.Thread(target=give_back_when_waited_for)
    thread.start()
    lock.actions(open_file(path), 0, 8, write=True)[0]()
    thread.join()
    return "granted"

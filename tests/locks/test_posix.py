from __future__ import annotations

import errno
import fcntl
import os
import signal
import threading
from pathlib import Path
from types import FrameType

import pytest

from lab.locks import NATIVE, find_lock, kernel
from lab.locks.kernel import FLOCK
from tests.helpers import OtherProcess, in_fresh_process, wait_until
from tests.locks.holder import CALLS, REFUSED, give_back, needs, refusal, take, take_through, use_python_calls, waiters

both = pytest.mark.parametrize("name", ["fcntl", "ofd"])


@both
@pytest.mark.parametrize("write", [True, False])
def test_a_written_range_is_refused_to_another_process(
    name: str, write: bool, other: OtherProcess, path: Path, here: int
) -> None:
    other.call(take, name, str(path), 8, 8, True)
    assert refusal(name, here, 8, 8, write=write) in REFUSED


@both
def test_a_read_range_is_granted_to_a_reader_and_refused_to_a_writer(
    name: str, other: OtherProcess, path: Path, here: int
) -> None:
    other.call(take, name, str(path), 8, 8, False)
    assert refusal(name, here, 8, 8, write=False) == 0
    assert refusal(name, here, 8, 8, write=True) in REFUSED


@both
def test_ranges_that_touch_are_granted_and_one_shared_byte_is_refused(
    name: str, other: OtherProcess, path: Path, here: int
) -> None:
    other.call(take, name, str(path), 8, 8, True)
    assert refusal(name, here, 0, 8, write=True) == 0
    assert refusal(name, here, 16, 8, write=True) == 0
    assert refusal(name, here, 0, 9, write=True) in REFUSED
    assert refusal(name, here, 15, 1, write=True) in REFUSED


@both
def test_length_0_locks_what_may_be_appended_to_the_file(name: str, other: OtherProcess, path: Path, here: int) -> None:
    other.call(take, name, str(path), 8, 0, True)
    assert refusal(name, here, 2**62, 1, write=True) in REFUSED
    assert refusal(name, here, 0, 8, write=True) == 0


@both
def test_a_range_beyond_32_bits_is_locked_where_it_was_asked_for(
    name: str, other: OtherProcess, path: Path, here: int
) -> None:
    other.call(take, name, str(path), 2**40 + 8, 8, True)
    assert refusal(name, here, 2**40 + 8, 8, write=True) in REFUSED
    assert refusal(name, here, 8, 8, write=True) == 0


@both
def test_a_range_given_back_is_granted(name: str, other: OtherProcess, path: Path, here: int) -> None:
    other.call(take, name, str(path), 8, 8, True)
    other.call(give_back)
    assert refusal(name, here, 8, 8, write=True) == 0


@both
def test_giving_back_one_range_keeps_the_others(name: str, other: OtherProcess, path: Path, here: int) -> None:
    descriptor = other.call(open_file, str(path))
    other.call(take_through, descriptor, name, 0, 8, True)
    other.call(take_through, descriptor, name, 8, 8, True)
    other.call(give_back)
    assert refusal(name, here, 0, 8, write=True) in REFUSED
    assert refusal(name, here, 8, 8, write=True) == 0


@both
def test_the_death_of_the_holder_releases(name: str, other: OtherProcess, path: Path, here: int) -> None:
    other.call(take, name, str(path), 8, 8, True)
    other.kill()
    assert refusal(name, here, 8, 8, write=True) == 0


@both
def test_getlk_reports_the_holder(name: str, other: OtherProcess, path: Path, here: int) -> None:
    other.call(take, name, str(path), 8, 16, True)
    asked = fcntl.fcntl(here, fcntl.F_GETLK, FLOCK.pack(fcntl.F_RDLCK, os.SEEK_SET, 0, 0, 0))
    owner = other.pid if name == "fcntl" else -1
    assert FLOCK.unpack(asked) == (fcntl.F_WRLCK, os.SEEK_SET, 8, 16, owner)


@both
def test_acquire_waits_until_the_holder_gives_back(name: str, other: OtherProcess, path: Path, here: int) -> None:
    acquire, release = find_lock(name).actions(here, 0, 8, write=True)
    acquire()
    other.start(take, name, str(path), 0, 8, True)
    wait_until(lambda: waiters(path) == 1, "the other process waits for the lock")
    release()
    other.answer()
    assert refusal(name, here, 0, 8, write=True) in REFUSED


@both
def test_a_signal_that_is_handled_does_not_end_the_wait(name: str, other: OtherProcess, path: Path, here: int) -> None:
    acquire, release = find_lock(name).actions(here, 0, 8, write=True)
    acquire()
    seen = path.with_name("seen")
    other.call(on_sigusr1, str(seen), False)
    other.start(take, name, str(path), 0, 8, True)
    wait_until(lambda: waiters(path) == 1, "the other process waits for the lock")
    os.kill(other.pid, signal.SIGUSR1)
    wait_until(seen.exists, "the handler ran")
    wait_until(lambda: waiters(path) == 1, "the other process waits again")
    release()
    other.answer()
    assert refusal(name, here, 0, 8, write=True) in REFUSED


@both
def test_a_handler_that_raises_ends_the_wait_and_leaves_nothing_queued(
    name: str, other: OtherProcess, path: Path, here: int
) -> None:
    acquire, release = find_lock(name).actions(here, 0, 8, write=True)
    acquire()
    other.call(on_sigusr1, str(path.with_name("seen")), True)
    other.start(take, name, str(path), 0, 8, True)
    wait_until(lambda: waiters(path) == 1, "the other process waits for the lock")
    os.kill(other.pid, signal.SIGUSR1)
    with pytest.raises(AssertionError, match="InterruptedByTest"):
        other.answer()
    release()
    assert waiters(path) == 0
    assert refusal(name, here, 0, 8, write=True) == 0


def test_a_ring_of_posix_locks_is_refused_with_edeadlk(other: OtherProcess, path: Path) -> None:
    with OtherProcess() as third:
        other.call(take, "fcntl", str(path), 0, 8, True)
        third.call(take, "fcntl", str(path), 8, 8, True)
        third.start(take, "fcntl", str(path), 0, 8, True)
        wait_until(lambda: waiters(path) == 1, "the third process waits for the second")
        assert other.call(errno_of_take, "fcntl", str(path), 8, 8) == errno.EDEADLK
        other.call(give_back)
        third.answer()


def test_a_posix_lock_lets_a_second_descriptor_of_its_process_in(other: OtherProcess, path: Path) -> None:
    other.call(take, "fcntl", str(path), 0, 8, True)
    assert other.call(refusal_of_second_descriptor, "fcntl", str(path)) == 0


def test_an_ofd_lock_refuses_a_second_descriptor_of_its_process(other: OtherProcess, path: Path) -> None:
    other.call(take, "ofd", str(path), 0, 8, True)
    assert other.call(refusal_of_second_descriptor, "ofd", str(path)) in REFUSED


def test_closing_any_descriptor_drops_the_posix_locks_of_the_process(
    other: OtherProcess, path: Path, here: int
) -> None:
    other.call(take, "fcntl", str(path), 0, 8, True)
    other.call(open_and_close, str(path))
    assert refusal("fcntl", here, 0, 8, write=True) == 0


def test_closing_another_descriptor_keeps_ofd_locks(other: OtherProcess, path: Path, here: int) -> None:
    other.call(take, "ofd", str(path), 0, 8, True)
    other.call(open_and_close, str(path))
    assert refusal("ofd", here, 0, 8, write=True) in REFUSED


def test_a_forked_child_does_not_inherit_a_posix_lock(other: OtherProcess, path: Path) -> None:
    other.call(take, "fcntl", str(path), 0, 8, True)
    assert other.call(refusal_in_a_child, "fcntl", str(path)) in REFUSED


def test_a_forked_childs_unlock_drops_the_ofd_lock_that_it_shares(other: OtherProcess, path: Path, here: int) -> None:
    other.call(take, "ofd", str(path), 0, 8, True)
    other.call(give_back_in_a_child)
    assert refusal("ofd", here, 0, 8, write=True) == 0


@pytest.mark.parametrize("call", CALLS)
def test_waiting_lets_other_threads_run(call: str, path: Path) -> None:
    """The thread that holds the lock sees the main thread wait, and only then gives it back."""
    needs(call)
    assert in_fresh_process(hand_over_between_threads, call, str(path)) == "granted"


@both
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


def open_file(path: str) -> int:
    return os.open(path, os.O_RDWR)


def open_and_close(path: str) -> None:
    os.close(os.open(path, os.O_RDONLY))


def errno_of_take(name: str, path: str, start: int, length: int) -> int | None:
    try:
        take(name, path, start, length, True)
    except OSError as error:
        return error.errno
    return 0


def refusal_of_second_descriptor(name: str, path: str) -> int:
    return refusal(name, os.open(path, os.O_RDWR), 0, 8, write=True)


def refusal_in_a_child(name: str, path: str) -> int:
    pid = os.fork()
    if not pid:
        os._exit(refusal(name, os.open(path, os.O_RDWR), 0, 8, write=True))
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


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

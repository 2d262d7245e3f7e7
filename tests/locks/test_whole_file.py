from __future__ import annotations

import fcntl
import os
import signal
from pathlib import Path

import pytest

from lab.locks import Action, find_lock
from tests.helpers import OtherProcess, wait_until
from tests.locks.holder import give_back, take, take_through, waiters


def granted(descriptor: int, *, write: bool) -> bool:
    """Ask for the file without waiting; what was granted is given back."""
    try:
        fcntl.flock(descriptor, (fcntl.LOCK_EX if write else fcntl.LOCK_SH) | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    fcntl.flock(descriptor, fcntl.LOCK_UN)
    return True


def open_file(path: str) -> int:
    return os.open(path, os.O_RDWR)


def open_and_close(path: str) -> None:
    os.close(os.open(path, os.O_RDONLY))


def granted_to_a_second_descriptor(path: str) -> bool:
    return granted(open_file(path), write=True)


def test_a_written_range_excludes_every_other_process_from_the_whole_file(
    other: OtherProcess, path: Path, here: int
) -> None:
    other.call(take, "flock", str(path), 4000, 1, True)
    assert not granted(here, write=True)
    assert not granted(here, write=False)


def test_readers_share_the_file_and_keep_a_writer_out(other: OtherProcess, path: Path, here: int) -> None:
    other.call(take, "flock", str(path), 0, 8, False)
    assert granted(here, write=False)
    assert not granted(here, write=True)


def test_the_file_is_free_once_given_back(other: OtherProcess, path: Path, here: int) -> None:
    other.call(take, "flock", str(path), 0, 8, True)
    other.call(give_back)
    assert granted(here, write=True)


def test_ranges_held_together_keep_the_lock_until_the_last(other: OtherProcess, path: Path, here: int) -> None:
    descriptor = other.call(open_file, str(path))
    for start in (0, 8, 16):
        other.call(take_through, descriptor, "flock", start, 8, True)
    other.call(give_back)
    other.call(give_back)
    assert not granted(here, write=True)
    other.call(give_back)
    assert granted(here, write=True)


def test_a_write_range_inside_a_read_range_excludes_readers(other: OtherProcess, path: Path, here: int) -> None:
    descriptor = other.call(open_file, str(path))
    other.call(take_through, descriptor, "flock", 0, 8, False)
    other.call(take_through, descriptor, "flock", 8, 8, True)
    assert not granted(here, write=False)


def test_a_read_range_inside_a_write_range_still_excludes_readers(other: OtherProcess, path: Path, here: int) -> None:
    descriptor = other.call(open_file, str(path))
    other.call(take_through, descriptor, "flock", 0, 8, True)
    other.call(take_through, descriptor, "flock", 8, 8, False)
    assert not granted(here, write=False)


def test_after_a_write_range_was_given_back_a_read_range_is_shared_again(
    other: OtherProcess, path: Path, here: int
) -> None:
    descriptor = other.call(open_file, str(path))
    other.call(take_through, descriptor, "flock", 0, 8, True)
    other.call(give_back)
    other.call(take_through, descriptor, "flock", 0, 8, False)
    assert granted(here, write=False)


def test_each_open_file_is_an_owner_of_its_own(other: OtherProcess, path: Path) -> None:
    other.call(take, "flock", str(path), 0, 8, True)
    assert not other.call(granted_to_a_second_descriptor, str(path))


def test_a_range_held_on_one_open_file_is_not_counted_for_another(other: OtherProcess, path: Path, here: int) -> None:
    second = path.with_name("second")
    second.touch()
    other.call(take, "flock", str(second), 0, 8, True)
    other.call(take, "flock", str(path), 0, 8, True)
    assert not granted(here, write=True)


def test_closing_another_descriptor_keeps_the_lock(other: OtherProcess, path: Path, here: int) -> None:
    other.call(take, "flock", str(path), 0, 8, True)
    other.call(open_and_close, str(path))
    assert not granted(here, write=True)


def test_acquire_waits_until_the_holder_gives_back(other: OtherProcess, path: Path, here: int) -> None:
    acquire, release = find_lock("flock").actions(here, 0, 8, write=True)
    acquire()
    other.start(take, "flock", str(path), 0, 8, True)
    wait_until(lambda: waiters(path) == 1, "the other process waits for the lock")
    release()
    other.answer()
    assert not granted(here, write=True)


def test_a_request_that_fails_leaves_nothing_to_give_back(path: Path) -> None:
    """After a refused request the next one must call the kernel again, not believe that it holds the file."""
    lock = find_lock("flock")
    descriptor = open_file(str(path))
    acquire, release = lock.actions(descriptor, 0, 8, write=True)
    os.close(descriptor)
    with pytest.raises(OSError, match="Bad file descriptor"):
        acquire()
    assert os.open(path, os.O_RDWR) == descriptor
    acquire()
    elsewhere = open_file(str(path))
    assert not granted(elsewhere, write=True)
    release()
    assert granted(elsewhere, write=True)
    os.close(elsewhere)
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
    other = open_file(path)
    if not granted(other, write=True):
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


def test_it_says_that_it_has_no_ranges() -> None:
    lock = find_lock("flock")
    assert not lock.has_ranges
    assert "no ranges" in lock.summary

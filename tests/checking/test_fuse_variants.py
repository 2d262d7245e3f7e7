"""Each variant of the FUSE server but the honest one is broken as announced, and not otherwise."""

from __future__ import annotations

import errno
import os
import signal

import pytest

from tests.checking import asker
from tests.checking.mounted import filesystem, is_free, start_waiting, waits_for_the_server
from tests.helpers import OtherProcess, wait_until

pytestmark = pytest.mark.mounts


@pytest.mark.parametrize(("variant", "tries"), [("lies_100", 1_000), ("lies_1000", 10_000)])
def test_a_lie_is_told_about_ten_times(variant: str, tries: int) -> None:
    with filesystem(f"fuse_{variant}") as [file], OtherProcess() as other:
        other.call(asker.ask, file, "posix")
        assert 3 <= asker.grants(file, "posix", tries) <= 30
        assert other.call(asker.told, file, "posix") is None


@pytest.mark.parametrize("name", ["fuse_writeback", "fuse_honest"])
def test_the_writeback_cache_keeps_what_is_written_until_it_is_synced(name: str) -> None:
    with filesystem(name) as [file]:
        kept = file.parent.with_name("backing") / file.name
        with file.open("wb", buffering=0) as opened:
            opened.write(b"written")
            assert kept.read_bytes() == (b"" if name == "fuse_writeback" else b"written")
            os.fsync(opened.fileno())
            assert kept.read_bytes() == b"written"


@pytest.mark.parametrize("name", ["fuse_whole_file", "fuse_whole_file_two"])
def test_whole_file_refuses_a_range_that_does_not_meet_the_held_one(name: str) -> None:
    with filesystem(name) as files, OtherProcess() as other:
        other.call(asker.ask, files[0], "posix", 0, 8)
        assert asker.ask(files[-1], "posix", 8, 8) == errno.EAGAIN
        assert asker.told(files[-1], "posix", 8, 8) == (0, 0, other.pid)


@pytest.mark.parametrize("name", ["fuse_no_merge", "fuse_no_merge_two"])
def test_no_merge_tells_the_pieces_that_were_asked_for(name: str) -> None:
    with filesystem(name) as files, OtherProcess() as other:
        other.call(asker.ask, files[0], "posix", 10, 10)
        other.call(asker.ask, files[0], "posix", 20, 10)
        assert asker.told(files[-1], "posix") == (10, 10, other.pid)
        assert asker.told(files[-1], "posix", 20) == (20, 10, other.pid)


@pytest.mark.parametrize("name", ["fuse_forgets_on_close", "fuse_forgets_on_close_two"])
def test_forgets_on_close_forgets_what_the_parent_of_the_closer_holds(name: str) -> None:
    with filesystem(name) as files, OtherProcess() as other:
        for how in ("posix", "ofd", "flock"):
            other.call(asker.ask, files[0], how)
            assert not is_free(files[-1], how)
            other.call(asker.have_a_child_close, files[0])
            assert is_free(files[-1], how)


@pytest.mark.parametrize("name", ["fuse_leaks_ofd", "fuse_leaks_ofd_two"])
def test_leaks_ofd_keeps_the_ofd_lock_alone_of_a_closed_file(name: str) -> None:
    with filesystem(name) as files, OtherProcess() as other:
        for how in ("flock", "ofd"):
            assert other.call(asker.ask, files[0], how) == 0
            assert not is_free(files[-1], how)
        other.call(asker.close, files[0])
        wait_until(lambda: is_free(files[-1], "flock"), "the close has reached the server")
        assert not is_free(files[-1], "ofd")


def test_false_deadlock_answers_a_waiter_with_a_deadlock_that_is_none() -> None:
    with filesystem("fuse_false_deadlock") as [file], OtherProcess() as other:
        asker.ask(file, "posix")
        *given_up, answered = other.call(asker.answers_to_waits, file, "posix", 500)
        assert answered == errno.EDEADLK
        assert set(given_up) <= {-1}


def test_wakes_nobody_leaves_a_waiter_waiting_for_a_lock_that_is_free() -> None:
    with filesystem("fuse_wakes_nobody") as [file], OtherProcess() as other:
        asker.ask(file, "posix")
        start_waiting(other, file, "posix")
        asker.give_back(file, "posix")
        for _ in range(200):
            assert is_free(file, "posix")
        assert waits_for_the_server(other.pid)
        os.kill(other.pid, signal.SIGUSR1)
        assert other.answer() == -1

"""The honest server does with one mount, and with two, what a local filesystem does."""

from __future__ import annotations

import errno
import os
import signal
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from uuid import uuid4

import pytest

from tests.checking import asker
from tests.checking.mounted import is_free, start_waiting, waiting_for
from tests.checking.mounts import FILESYSTEMS
from tests.helpers import OtherProcess, wait_until

pytestmark = pytest.mark.mounts

HOWS = ["posix", "ofd", "flock"]


@pytest.fixture(scope="module", params=["fuse_honest", "fuse_honest_two"])
def directories(request: pytest.FixtureRequest) -> Iterator[list[Path]]:
    """One mount, or two of the same directory."""
    with ExitStack() as stack:
        yield stack.enter_context(FILESYSTEMS[request.param]())


@pytest.fixture(scope="module")
def process() -> Iterator[OtherProcess]:
    """Another process, for all tests that do not kill it."""
    with OtherProcess() as made:
        yield made


@pytest.fixture
def other(process: OtherProcess) -> Iterator[OtherProcess]:
    """That process, which has no file open before and after."""
    yield process
    process.call(asker.close_all)


@pytest.fixture
def files(directories: list[Path]) -> Iterator[list[Path]]:
    """A new empty file, as a path through each mount."""
    name = uuid4().hex
    (directories[0] / name).touch()
    yield [directory / name for directory in directories]
    asker.close_all()


@pytest.mark.parametrize("how", HOWS)
def test_the_lock_of_a_killed_process_is_free(files: list[Path], how: str) -> None:
    with OtherProcess() as other:
        assert other.call(asker.ask, files[0], how) == 0
        assert not is_free(files[-1], how)
        other.kill()
        wait_until(lambda: is_free(files[-1], how), "the lock is free")


@pytest.mark.parametrize("how", HOWS)
def test_a_waiter_can_be_killed_and_nothing_stays_queued(files: list[Path], how: str) -> None:
    with OtherProcess() as other:
        asker.ask(files[0], how)
        start_waiting(other, files[-1], how)
        other.kill()
        asker.give_back(files[0], how)
        assert is_free(files[0], how)


@pytest.mark.parametrize("how", HOWS)
def test_the_lock_of_a_closed_file_is_free(files: list[Path], other: OtherProcess, how: str) -> None:
    assert other.call(asker.ask, files[0], how) == 0
    assert not is_free(files[-1], how)
    other.call(asker.close, files[0])
    wait_until(lambda: is_free(files[-1], how), "the lock is free")


@pytest.mark.parametrize("how", HOWS)
def test_a_waiter_gets_the_lock_that_is_given_back(files: list[Path], other: OtherProcess, how: str) -> None:
    asker.ask(files[0], how)
    start_waiting(other, files[-1], how)
    asker.give_back(files[0], how)
    assert other.answer() == 0


@pytest.mark.parametrize("how", HOWS)
def test_a_signal_ends_a_wait_and_nothing_stays_queued(files: list[Path], other: OtherProcess, how: str) -> None:
    asker.ask(files[0], how)
    start_waiting(other, files[-1], how)
    os.kill(other.pid, signal.SIGUSR1)
    assert other.answer() == -1
    asker.give_back(files[0], how)
    assert is_free(files[0], how)


@pytest.mark.parametrize("how", HOWS)
def test_64_waiters_are_served_in_the_order_in_which_they_came(
    files: list[Path], other: OtherProcess, how: str, tmp_path: Path
) -> None:
    served = tmp_path / "served"
    asker.ask(files[0], how)
    waiters = []
    for number in range(64):
        waiters.append(other.call(asker.have_a_child_wait, files[number % len(files)], how, number, served))
        wait_until(lambda: waiting_for(files[0]) == len(waiters), "one more waits")
    asker.give_back(files[0], how)
    assert other.call(asker.exits_of, waiters) == [0] * 64
    assert served.read_text().split() == [str(number) for number in range(64)]


def test_an_open_file_is_told_its_own_ofd_lock_and_nobody_elses(files: list[Path], other: OtherProcess) -> None:
    asker.ask(files[0], "ofd", 5, 3)
    assert asker.own(files[0]) == (5, 3)
    assert other.call(asker.own, files[-1]) is None


def test_a_mount_reads_what_another_has_just_written(files: list[Path]) -> None:
    with files[-1].open("rb", buffering=0) as opened:
        for text in (b"one", b"three", b""):
            files[0].write_bytes(text)
            assert os.pread(opened.fileno(), 10, 0) == text


def test_ranges_of_two_processes_that_do_not_meet_are_granted(files: list[Path], other: OtherProcess) -> None:
    for how in ("posix", "ofd"):
        assert other.call(asker.ask, files[0], how, 0, 8) == 0
        assert asker.ask(files[-1], how, 8, 8) == 0
        assert asker.ask(files[-1], how, 7, 1) == errno.EAGAIN
        asker.close_all()
        other.call(asker.close_all)


def test_the_holder_of_a_merged_range_is_told(files: list[Path], other: OtherProcess) -> None:
    other.call(asker.ask, files[0], "posix", 10, 10)
    other.call(asker.ask, files[0], "posix", 20, 10)
    assert asker.told(files[-1], "posix") == (10, 20, other.pid)
    other.call(asker.give_back, files[0], "posix", 15, 5)
    assert asker.told(files[-1], "posix") == (10, 5, other.pid)
    assert asker.told(files[-1], "posix", 15, 5) is None
    assert asker.told(files[-1], "posix", 15) == (20, 10, other.pid)


def test_no_lock_is_told_that_is_not_there_any_more(files: list[Path], other: OtherProcess) -> None:
    for how in ("posix", "ofd"):
        other.call(asker.ask, files[0], how)
        assert asker.told(files[-1], "posix") == (0, 0, other.pid)
        other.call(asker.close, files[0])
        wait_until(lambda: asker.told(files[-1], "posix") is None, "no lock is told")


def test_what_a_child_closes_is_its_own_affair(files: list[Path], other: OtherProcess) -> None:
    for how in HOWS:
        other.call(asker.ask, files[0], how)
        other.call(asker.have_a_child_close, files[0])
        assert not is_free(files[-1], how)
        other.call(asker.close, files[0])

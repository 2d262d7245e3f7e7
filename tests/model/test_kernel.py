"""What the model of the kernel answers: geometry, conflicts, owners, and how long a lock lives."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from lab.analysis.holds import END, Span
from lab.model.files import FROM_POSITION, FROM_SIZE, GRANTED, LAST, READ, UNLOCK, WRITE, Answer, Found, Request
from lab.model.kernel import Kernel
from tests.model.requests import (
    ALL,
    EAGAIN,
    EBADF,
    EINVAL,
    EOVERFLOW,
    FD,
    FILE,
    ranges,
    read,
    write,
)

# A. Geometry


@pytest.mark.parametrize(
    ("request_", "span"),
    [
        (write(3, 4), (3, 7)),
        (write(3, 0), (3, END)),
        (write(LAST), (LAST, END)),
        (write(1, LAST), (1, END)),
        (write(8, -5), (3, 8)),
        (write(8, -8), (0, 8)),
        (Request(WRITE, -2, 4, FROM_POSITION), (18, 22)),
        (Request(WRITE, 2, 0, FROM_POSITION), (22, END)),
        (Request(WRITE, -2, 4, FROM_SIZE), (98, 102)),
        (Request(WRITE, 0, -100, FROM_SIZE), (0, 100)),
    ],
)
def test_a_request_means_these_bytes(kernel: Kernel, request_: Request, span: tuple[int, int]) -> None:
    description = kernel.description(1, FD)
    description.position, description.inode.size = 20, 100
    assert kernel.posix_set(1, FD, request_) == GRANTED
    assert ranges(kernel) == [span]


@pytest.mark.parametrize(
    ("request_", "answer"),
    [
        (write(-1), EINVAL),
        (write(0, -1), EINVAL),
        (write(4, -5), EINVAL),
        (write(LAST, 2), EOVERFLOW),
        (write(2, LAST), EOVERFLOW),
        (Request(WRITE, LAST, 1, FROM_SIZE), EOVERFLOW),
        (Request(WRITE, -101, 0, FROM_SIZE), EINVAL),
        (Request(WRITE, whence=7), EINVAL),
        (Request(9), EINVAL),
    ],
)
def test_a_request_that_means_none_is_refused(kernel: Kernel, request_: Request, answer: Answer) -> None:
    kernel.description(1, FD).inode.size = 100
    for call in (kernel.posix_set, kernel.ofd_set, kernel.posix_get, kernel.ofd_get):
        assert call(1, FD, request_) == answer
    assert ranges(kernel) == []


def test_getlk_finds_the_holder_of_a_conflict_and_nothing_on_a_free_range(kernel: Kernel) -> None:
    kernel.posix_set(1, FD, read(8, 0))
    assert kernel.posix_get(2, FD, write(0, 0)).found == Found(1, Span(8, 0, write=False))
    assert kernel.posix_get(1, FD, write(8)) == kernel.posix_get(2, FD, write(7)) == GRANTED


# B, C. Conflicts, modes


@pytest.mark.parametrize("other", [READ, WRITE])
@pytest.mark.parametrize("kind", [READ, WRITE])
def test_only_readers_are_let_in_together(kernel: Kernel, kind: int, other: int) -> None:
    assert kernel.posix_set(1, FD, Request(kind, 0, 4)) == GRANTED
    assert kernel.posix_set(2, FD, Request(other, 3, 4)) == (GRANTED if kind == other == READ else EAGAIN)
    assert kernel.posix_set(2, FD, Request(other, 4, 4)) == GRANTED


@pytest.mark.parametrize(("mode", "kind"), [("r", WRITE), ("w", READ)])
def test_a_mode_that_does_not_fit_the_lock_is_refused(kernel: Kernel, mode: str, kind: int) -> None:
    number = kernel.open(1, FILE, mode)
    assert kernel.posix_set(1, number, Request(kind)) == kernel.ofd_set(1, number, Request(kind)) == EBADF
    assert kernel.posix_get(1, number, Request(kind)) == kernel.flock(1, number, kind) == GRANTED
    assert kernel.posix_set(1, number, ALL) == GRANTED


def test_a_closed_descriptor_is_refused(kernel: Kernel) -> None:
    kernel.close(1, FD)
    for call in (kernel.posix_set, kernel.ofd_set, kernel.posix_get, kernel.ofd_get):
        assert call(1, FD, read(0)) == EBADF
    assert kernel.flock(1, FD, READ) == EBADF
    for file_call in (kernel.close, kernel.dup):
        with pytest.raises(OSError, match="EBADF"):
            file_call(1, FD)


def test_posix_calls_ignore_the_pid_and_ofd_calls_refuse_it(kernel: Kernel) -> None:
    request = Request(READ, pid=5)
    assert kernel.posix_set(1, FD, request) == kernel.posix_get(1, FD, request) == GRANTED
    assert kernel.ofd_set(1, FD, request) == kernel.ofd_get(1, FD, request) == EINVAL


def test_only_ofd_calls_may_ask_for_an_unlock_and_list_their_own(kernel: Kernel) -> None:
    kernel.ofd_set(1, FD, write(4, 2))
    assert kernel.posix_get(1, FD, ALL) == EINVAL
    assert kernel.ofd_get(1, FD, ALL).found == Found(-1, Span(4, 2, write=True))
    assert kernel.ofd_get(1, FD, Request(UNLOCK, 6)) == kernel.ofd_get(2, FD, ALL) == GRANTED


# D. Who owns a POSIX lock, and how long


def test_any_descriptor_of_the_file_takes_the_locks_of_the_process_and_its_close_drops_them(kernel: Kernel) -> None:
    kernel.posix_set(1, FD, write(0))
    kernel.posix_set(2, FD, write(1))
    kernel.close(1, kernel.open(1, "other"))
    second = kernel.open(1, FILE)
    assert kernel.posix_set(1, second, write(0)) == GRANTED
    assert ranges(kernel) == [(0, 1), (1, 2)]
    kernel.close(1, second)
    assert ranges(kernel) == [(1, 2)]


@pytest.mark.parametrize(
    ("share_table", "answer", "left"), [(False, EAGAIN, [(0, 1)]), (True, GRANTED, [])], ids=["forked", "shared table"]
)
def test_a_child_is_the_same_owner_and_its_close_drops_the_lock_only_with_a_shared_table(
    kernel: Kernel, share_table: bool, answer: Answer, left: list[tuple[int, int]]
) -> None:
    kernel.posix_set(1, FD, write(0))
    kernel.fork(1, 4, share_table=share_table)
    assert kernel.posix_set(4, FD, write(0)) == answer
    kernel.close(4, FD)
    assert ranges(kernel, 2) == left


def test_a_shared_table_lives_until_its_last_process_ends(kernel: Kernel) -> None:
    kernel.fork(1, 4, share_table=True)
    kernel.posix_set(4, FD, write(0))
    kernel.exit(4)
    assert ranges(kernel, 2) == [(0, 1)]
    kernel.exit(1)
    assert ranges(kernel, 2) == []


def test_execve_of_one_that_shares_the_table_leaves_the_locks_to_the_others(kernel: Kernel) -> None:
    kernel.fork(1, 4, share_table=True)
    kernel.posix_set(4, FD, write(0))
    kernel.execve(4)
    assert kernel.posix_set(4, FD, write(0)) == EAGAIN
    assert kernel.posix_set(1, FD, write(0)) == GRANTED
    kernel.exit(1)
    assert ranges(kernel, 4) == []


def test_locks_survive_execve_unless_a_descriptor_of_the_file_is_closed_on_exec(kernel: Kernel) -> None:
    kernel.posix_set(1, FD, write(0))
    kernel.execve(1)
    assert ranges(kernel) == [(0, 1)]
    number = kernel.open(1, FILE, close_on_exec=True)
    kernel.execve(1)
    assert ranges(kernel) == []
    with pytest.raises(OSError, match="EBADF"):
        kernel.close(1, number)


@pytest.mark.parametrize("take", [Kernel.posix_set, Kernel.ofd_set])
def test_death_releases(kernel: Kernel, take: Callable[..., Answer]) -> None:
    take(kernel, 1, FD, write(0))
    kernel.exit(1)
    assert ranges(kernel, 2) == []
    with pytest.raises(ValueError, match="not started"):
        kernel.open(1, FILE)


def test_after_unlink_and_re_creation_lockers_hold_different_files(kernel: Kernel) -> None:
    kernel.posix_set(1, FD, write(0))
    kernel.unlink(FILE)
    with pytest.raises(OSError, match="ENOENT"):
        kernel.unlink(FILE)
    assert kernel.posix_set(2, kernel.open(2, FILE), write(0)) == GRANTED
    assert kernel.posix_set(2, FD, write(0)) == EAGAIN


def test_a_descriptor_gets_the_lowest_free_number(kernel: Kernel) -> None:
    assert [kernel.open(1, FILE), kernel.dup(1, FD)] == [1, 2]
    kernel.close(1, 1)
    assert [kernel.open(1, FILE), kernel.open(1, FILE)] == [1, 3]


# F. Open file description locks


def test_a_second_open_of_the_process_conflicts_and_a_dup_does_not(kernel: Kernel) -> None:
    kernel.ofd_set(1, FD, write(0))
    assert kernel.ofd_set(1, kernel.open(1, FILE), write(0)) == EAGAIN
    assert kernel.ofd_set(1, kernel.dup(1, FD), write(0)) == GRANTED


def test_the_lock_goes_with_the_last_descriptor_anywhere_or_a_childs_unlock(kernel: Kernel) -> None:
    kernel.ofd_set(1, FD, write(0))
    kernel.ofd_set(2, FD, write(1))
    kernel.fork(1, 4)
    kernel.fork(2, 5)
    kernel.ofd_set(5, FD, ALL)
    kernel.close(1, kernel.dup(1, FD))
    kernel.close(1, FD)
    assert ranges(kernel, 2) == [(0, 1)]
    kernel.exit(4)
    assert ranges(kernel, 2) == []


def test_it_conflicts_with_posix_locks_both_ways_within_one_process(kernel: Kernel) -> None:
    kernel.posix_set(1, FD, write(0))
    kernel.ofd_set(1, FD, write(1))
    assert kernel.ofd_set(1, FD, read(0)) == kernel.posix_set(1, FD, read(1)) == EAGAIN
    assert kernel.ofd_get(1, FD, read(0)).found == Found(1, Span(0, 1, write=True))
    assert kernel.posix_get(1, FD, read(1)).found == Found(-1, Span(1, 1, write=True))


# G. flock


@pytest.mark.parametrize("other", [READ, WRITE])
@pytest.mark.parametrize("kind", [READ, WRITE])
def test_only_shared_flocks_go_together(kernel: Kernel, kind: int, other: int) -> None:
    assert kernel.flock(1, FD, kind) == GRANTED
    assert kernel.flock(1, kernel.open(1, FILE), other) == (GRANTED if kind == other == READ else EAGAIN)


def test_an_unknown_operation_is_refused(kernel: Kernel) -> None:
    assert kernel.flock(1, FD, 9) == EINVAL


def test_flock_and_fcntl_locks_know_nothing_of_each_other(kernel: Kernel) -> None:
    kernel.flock(1, FD, WRITE)
    assert kernel.posix_set(2, FD, write(0, 0)) == kernel.ofd_set(3, FD, ALL) == GRANTED
    assert kernel.flock(3, FD, WRITE) == EAGAIN


def test_an_flock_goes_with_an_unlock_and_with_the_last_descriptor(kernel: Kernel) -> None:
    kernel.flock(1, FD, WRITE)
    kernel.fork(1, 4)
    kernel.close(1, FD)
    assert kernel.flock(2, FD, WRITE) == EAGAIN
    kernel.close(4, FD)
    assert kernel.flock(2, FD, WRITE) == GRANTED
    kernel.flock(2, FD, UNLOCK)
    assert kernel.flock(3, FD, WRITE) == GRANTED


# What the kernel tells of itself


def test_the_descriptors_of_a_process_are_those_that_it_has_not_closed(kernel: Kernel) -> None:
    kernel.dup(1, FD)
    kernel.open(1, "other", close_on_exec=True)
    kernel.close(1, FD)
    assert (kernel.descriptors(1), kernel.descriptors(2)) == ([1, 2], [FD])
    kernel.execve(1)
    assert kernel.descriptors(1) == [1]


# What is left open


def test_any_lock_in_the_way_may_be_reported(kernel: Kernel) -> None:
    kernel.posix_set(1, FD, read(0, 4))
    kernel.posix_set(2, FD, read(2, 4))
    kernel.ofd_set(3, FD, read(8, 2))
    locks = [Answer(found=Found(1, Span(0, 4, False))), Answer(found=Found(2, Span(2, 4, False)))]
    assert kernel.in_the_way(3, FD, write(3)) == locks
    assert kernel.in_the_way(1, FD, write(3)) == locks[1:]
    assert kernel.in_the_way(3, FD, write(8)) == [Answer(found=Found(-1, Span(8, 2, False)))]
    assert kernel.in_the_way(3, FD, write(8), ofd=True) == []
    assert kernel.in_the_way(3, FD, read(3)) == []

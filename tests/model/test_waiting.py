"""Who waits in the model of the kernel, who is woken, and which rings of waiters are refused."""

from __future__ import annotations

import errno
from collections.abc import Callable

import pytest

from lab.analysis.holds import Span
from lab.model.files import GRANTED, READ, UNLOCK, WAITS, WRITE, Answer, Found, Request
from lab.model.kernel import Kernel
from tests.model.requests import (
    ALL,
    EAGAIN,
    EDEADLK,
    FD,
    FILE,
    contended,
    ranges,
    read,
    waits,
    write,
)


def test_a_waiter_is_granted_after_the_unlock(kernel: Kernel) -> None:
    contended(kernel, (2, write(0)))
    assert (kernel.waiting(), kernel.wakeable()) == ([2], [])
    kernel.posix_set(1, FD, ALL)
    assert kernel.wakeable() == [2]
    assert kernel.wake(2) == GRANTED
    assert kernel.posix_get(1, FD, read(0)).found == Found(2, Span(0, 1, write=True))
    assert kernel.waiting() == []


@pytest.mark.parametrize(
    "end",
    [lambda k: k.exit(1), lambda k: k.close(1, FD), lambda k: k.posix_set(1, FD, read(0, 8))],
    ids=["exit", "close", "downgrade"],
)
def test_an_exit_a_close_and_a_downgrade_wake_too(kernel: Kernel, end: Callable[[Kernel], object]) -> None:
    contended(kernel, (2, read(0)))
    end(kernel)
    assert kernel.wakeable() == [2]


def test_a_partial_unlock_wakes_only_who_is_free_by_it(kernel: Kernel) -> None:
    contended(kernel, (2, write(0, 4)), (3, write(4, 4)))
    kernel.posix_set(1, FD, Request(UNLOCK, 0, 5))
    assert kernel.wakeable() == [2]


@pytest.mark.parametrize(
    ("second", "third"), [(write(0, 4), write(4, 4)), (read(0), read(0))], ids=["disjoint", "readers"]
)
def test_waiters_that_do_not_exclude_each_other_are_both_granted(
    kernel: Kernel, second: Request, third: Request
) -> None:
    contended(kernel, (2, second), (3, third))
    kernel.posix_set(1, FD, ALL)
    assert [kernel.wake(3), kernel.wake(2)] == [GRANTED, GRANTED]


@pytest.mark.parametrize(("first", "second"), [(2, 3), (3, 2)])
def test_of_two_that_exclude_each_other_either_may_be_first(kernel: Kernel, first: int, second: int) -> None:
    contended(kernel, (2, write(0)), (3, write(0)))
    kernel.posix_set(1, FD, ALL)
    assert kernel.wakeable() == [2, 3]
    assert kernel.wake(first) == GRANTED
    assert (kernel.wakeable(), kernel.waiting()) == ([], [second])
    assert kernel.posix_set(1, FD, write(0), wait=True) == WAITS  # contention is no deadlock


def test_a_newcomer_may_overtake_a_waiter_that_was_woken(kernel: Kernel) -> None:
    contended(kernel, (2, write(0)))
    kernel.posix_set(1, FD, ALL)
    assert kernel.posix_set(3, FD, write(0)) == GRANTED
    assert kernel.wakeable() == []


def test_a_signal_or_a_death_ends_the_wait_and_leaves_nothing_queued(kernel: Kernel) -> None:
    contended(kernel, (2, write(0)), (3, write(0)))
    assert kernel.interrupt(2) == Answer(errno.EINTR)
    kernel.exit(3)
    kernel.posix_set(1, FD, ALL)
    assert kernel.waiting() == kernel.wakeable() == []
    assert kernel.posix_set(2, FD, write(0)) == GRANTED


def test_who_waits_makes_no_call_and_only_a_waiter_that_is_free_is_woken(kernel: Kernel) -> None:
    contended(kernel, (2, write(0)))
    with pytest.raises(ValueError, match="process 2 waits"):
        kernel.close(2, FD)
    for call, process in ((kernel.wake, 1), (kernel.interrupt, 1), (kernel.wake, 2)):
        with pytest.raises(ValueError, match=f"process {process}"):
            call(process)


def test_a_compatible_request_does_not_wait_behind_a_waiter(kernel: Kernel) -> None:
    kernel.posix_set(1, FD, read(0))
    waits(kernel, 2, write(0))
    assert kernel.posix_set(3, FD, read(0), wait=True) == GRANTED


@pytest.mark.parametrize(("owners", "answer"), [(2, EDEADLK), (3, EDEADLK), (12, EDEADLK), (13, WAITS)])
def test_a_ring_of_up_to_12_is_refused_and_a_longer_one_hangs(owners: int, answer: Answer) -> None:
    kernel = Kernel()
    for process in range(owners):
        kernel.start(process)
        kernel.open(process, FILE)
        kernel.posix_set(process, FD, write(process))
    for process in range(owners - 1):
        waits(kernel, process, write(process + 1))
    assert kernel.posix_set(owners - 1, FD, write(0), wait=True) == answer
    assert kernel.wakeable() == []


def test_of_two_readers_that_upgrade_the_second_is_refused(kernel: Kernel) -> None:
    kernel.posix_set(1, FD, read(0))
    kernel.posix_set(2, FD, read(0))
    waits(kernel, 1, write(0))
    assert kernel.posix_set(2, FD, write(0), wait=True) == EDEADLK
    assert ranges(kernel, 2) == [(0, 1), (0, 1)]


@pytest.mark.parametrize(("arrival", "refused"), [((1, 2, 3), 2), ((1, 3, 2), 3)])
def test_of_three_the_order_in_which_they_came_decides(arrival: tuple[int, ...], refused: int) -> None:
    kernel = Kernel()
    for process in arrival:
        kernel.start(process)
        kernel.open(process, FILE)
        kernel.posix_set(process, FD, read(0))
    answers = {process: kernel.posix_set(process, FD, write(0), wait=True) for process in (1, 2, 3)}
    assert next(process for process, answer in answers.items() if answer == EDEADLK) == refused


def test_a_ring_may_show_only_when_the_first_holder_has_gone(kernel: Kernel) -> None:
    kernel.posix_set(1, FD, read(0))
    kernel.posix_set(2, FD, read(0))
    kernel.posix_set(3, FD, write(1))
    waits(kernel, 3, write(0))
    waits(kernel, 2, write(1))
    kernel.posix_set(1, FD, ALL)
    assert kernel.wakeable() == [3]
    assert kernel.wake(3) == EDEADLK
    assert kernel.wakeable() == []


def test_a_holder_that_takes_more_stays_the_one_that_is_waited_for(kernel: Kernel) -> None:
    kernel.posix_set(1, FD, read(0))
    kernel.posix_set(2, FD, read(1))
    kernel.posix_set(3, FD, write(4))
    waits(kernel, 3, write(1))
    kernel.posix_set(1, FD, read(1))
    kernel.posix_set(2, FD, read(2))
    assert kernel.posix_set(2, FD, write(4), wait=True) == EDEADLK


def test_a_ring_over_two_files_is_refused(kernel: Kernel) -> None:
    kernel.open(1, "other")
    kernel.open(2, "other")
    kernel.posix_set(1, FD, write(0))
    kernel.posix_set(2, 1, write(0))
    waits(kernel, 2, write(0))
    assert kernel.posix_set(1, 1, write(0), wait=True) == EDEADLK


def test_a_ring_of_descriptions_hangs(kernel: Kernel) -> None:
    kernel.ofd_set(1, FD, write(0))
    kernel.ofd_set(2, FD, write(1))
    assert kernel.ofd_set(1, FD, write(1), wait=True) == kernel.ofd_set(2, FD, write(0), wait=True) == WAITS


def test_in_a_mixed_ring_only_a_posix_call_that_closes_it_is_refused(kernel: Kernel) -> None:
    kernel.posix_set(1, FD, write(0))
    kernel.ofd_set(2, FD, write(1))
    assert kernel.ofd_set(2, FD, write(0), wait=True) == WAITS
    assert kernel.posix_set(1, FD, write(1), wait=True) == EDEADLK
    kernel.interrupt(2)
    waits(kernel, 1, write(1))
    assert kernel.ofd_set(2, FD, write(0), wait=True) == WAITS
    assert kernel.wakeable() == []


def test_a_ring_is_not_followed_through_a_wait_for_a_description(kernel: Kernel) -> None:
    kernel.posix_set(1, FD, write(0))
    kernel.posix_set(2, FD, write(1))
    kernel.ofd_set(3, FD, write(2))
    waits(kernel, 2, write(2))
    assert kernel.ofd_set(3, FD, write(0), wait=True) == WAITS
    assert kernel.posix_set(1, FD, write(1), wait=True) == WAITS


def test_a_conversion_that_waits_has_lost_its_lock(kernel: Kernel) -> None:
    kernel.flock(1, FD, READ)
    kernel.flock(2, FD, READ)
    assert kernel.flock(1, FD, WRITE, wait=True) == WAITS
    assert kernel.flock(2, FD, WRITE, wait=True) == GRANTED
    kernel.flock(2, FD, UNLOCK)
    assert kernel.wake(1) == GRANTED
    assert kernel.flock(3, FD, READ) == EAGAIN


def test_a_conversion_that_fails_wakes_who_waited_for_the_old_lock(kernel: Kernel) -> None:
    kernel.flock(1, FD, READ)
    assert kernel.flock(3, FD, WRITE, wait=True) == WAITS
    kernel.flock(2, FD, READ)
    assert kernel.flock(1, FD, WRITE) == EAGAIN
    kernel.close(2, FD)
    assert kernel.wakeable() == [3]


def test_a_conversion_to_shared_wakes_the_readers(kernel: Kernel) -> None:
    kernel.flock(1, FD, WRITE)
    assert kernel.flock(2, FD, READ, wait=True) == WAITS
    assert kernel.flock(1, FD, READ) == GRANTED
    assert kernel.wakeable() == [2]


def test_a_ring_may_lead_along_any_lock_in_the_way(kernel: Kernel) -> None:
    kernel.posix_set(1, FD, read(0))
    kernel.posix_set(2, FD, read(0))
    kernel.posix_set(3, FD, write(5))
    waits(kernel, 3, write(0))
    assert not kernel.is_in_a_ring(3)
    waits(kernel, 2, write(5))
    assert kernel.is_in_a_ring(2)
    assert kernel.is_in_a_ring(3)


def test_a_ring_of_descriptions_or_flocks_is_one_though_nobody_notices(kernel: Kernel) -> None:
    kernel.ofd_set(1, FD, write(0))
    kernel.flock(2, FD, WRITE)
    assert kernel.ofd_set(2, FD, write(0), wait=True) == WAITS
    assert not kernel.is_in_a_ring(2)
    assert kernel.flock(1, FD, READ, wait=True) == WAITS
    assert kernel.is_in_a_ring(1)
    assert kernel.is_in_a_ring(2)
    assert kernel.flock(3, FD, READ, wait=True) == WAITS
    assert not kernel.is_in_a_ring(3)

from __future__ import annotations

import errno
import fcntl
from contextlib import ExitStack
from pathlib import Path
from random import Random

import pytest

from lab.model.record_locks import WholeFileLock
from tests.model.calls import flocked

A, B, C = "ABC"
CALLS = 300
OPERATIONS = {True: fcntl.LOCK_EX, False: fcntl.LOCK_SH, None: fcntl.LOCK_UN}


def held(**owners: bool) -> WholeFileLock:
    lock = WholeFileLock()
    for owner, write in owners.items():
        lock.grant(owner, write)
    return lock


@pytest.mark.parametrize(
    ("has", "asks", "granted"), [(False, False, 1), (False, True, 0), (True, False, 0), (True, True, 0)]
)
def test_only_shared_locks_go_together(has: bool, asks: bool, granted: int) -> None:
    assert (held(A=has).conflict(B, asks) is None) == granted


def test_the_conflict_is_the_owner_in_the_way() -> None:
    assert held(A=True).conflict(B, write=False) == A
    assert held(A=False, B=False).conflict(B, write=True) == A


def test_the_owners_are_those_who_have_it() -> None:
    lock = held(B=False, A=False, C=False)
    lock.release(A)
    assert lock.owners() == [B, C]


def test_an_owner_is_not_in_its_own_way() -> None:
    assert held(A=True).conflict(A, write=True) is None


def test_a_released_lock_is_free() -> None:
    lock = held(A=True)
    lock.release(A)
    lock.release(B)
    assert lock.conflict(B, write=True) is None


def test_a_conversion_replaces_the_lock() -> None:
    lock = held(A=False)
    assert lock.request(A, write=True) is None
    assert lock.holds(A) is True
    assert lock.request(A, write=False) is None
    assert lock.holds(A) is False


def test_a_conversion_that_is_refused_loses_the_old_lock() -> None:
    lock = held(A=False, B=False)
    assert lock.request(A, write=True) == B
    assert (lock.holds(A), lock.holds(B)) == (None, False)


def test_a_request_in_the_type_that_is_held_changes_nothing() -> None:
    lock = held(A=False, B=False)
    assert lock.request(A, write=False) is None
    assert lock.conflict(C, write=True) == A


def test_readers_have_one_key_in_whatever_order_they_came() -> None:
    assert held(A=False, B=False).key() == held(B=False, A=False).key()
    assert held(A=False).key() != held(A=True).key()


def test_a_cleared_lock_is_a_new_one() -> None:
    lock = held(A=True)
    lock.clear()
    assert lock.key() == WholeFileLock().key()


def test_the_lock_answers_as_the_kernel_does(tmp_path: Path) -> None:
    path, random, lock, answers = tmp_path / "shared", Random(1), WholeFileLock(), set()
    path.touch()
    with ExitStack() as stack:
        numbers = {owner: stack.enter_context(path.open("r+b")).fileno() for owner in "ABC"}
        for _ in range(CALLS):
            owner, write = random.choice("ABC"), random.choice([True, False, False, None])
            before = lock.holds(owner)
            granted = write is None or lock.request(owner, write) is None
            if write is None:
                lock.release(owner)
            assert flocked(numbers[owner], OPERATIONS[write]) == [0 if granted else errno.EWOULDBLOCK]
            answers.add((before, write, granted))
    assert len(answers) == 12  # a holder is never refused its own type, nor the sole one a weaker type

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from lab.errors import CannotRunError, UsageError
from lab.locking import Abilities, Action, LockFailed, abilities, completed, find_lock, prepared, probe_lock
from lab.locking.protocol import Missing

CLAIM = Abilities(ranges=False, readers=True, threads=True, fork=True, survives_kill=True)


class Alone:
    """All that a lock of the lab's own kind needs."""

    calls: list[str]

    def actions(self, descriptor: int, start: int, length: int, *, write: bool) -> tuple[Action, Action]:
        return lambda: None, lambda: None


class Chosen(Alone):
    name, summary, has_ranges = "chosen", "mine", False


class Claiming(Alone):
    abilities = CLAIM


class Prepared(Alone):
    """Gives its workers another one, which is as short as itself."""

    @contextmanager
    def prepared(self, path: str) -> Iterator[Alone]:
        yield Alone()


def test_one_method_is_enough() -> None:
    lock = completed(Alone(), "mine:Alone")
    assert (lock.name, lock.summary) == ("mine:Alone", "a lock of the lab's own kind")
    assert (lock.has_ranges, lock.excludes, abilities(lock)) == (True, True, None)


def test_what_it_says_itself_stays() -> None:
    lock = completed(Chosen(), "mine:Chosen")
    assert (lock.name, lock.summary, lock.has_ranges, lock.excludes) == ("chosen", "mine", False, True)


def test_whether_it_has_ranges_is_as_it_claims() -> None:
    lock = completed(Claiming(), "mine")
    assert (lock.has_ranges, abilities(lock)) == (False, CLAIM)


def test_a_lock_that_has_everything_is_used_as_it_is() -> None:
    lock = find_lock("fcntl")
    assert completed(lock, "another") is lock


@pytest.mark.parametrize("attribute", ["Alone", "Prepared"])
def test_it_is_found_by_its_place_and_answers(attribute: str, tmp_path: Path) -> None:
    lock = find_lock(f"{__name__}:{attribute}")
    assert lock.name == f"{__name__}:{attribute}"
    probe_lock(lock, tmp_path)


def test_what_it_prepares_for_a_trial_is_completed_too(tmp_path: Path) -> None:
    with prepared(completed(Prepared(), "mine"), str(tmp_path / "file")) as made:
        assert (made.name, made.excludes) == ("mine", True)


@pytest.mark.parametrize(
    ("attributes", "told"),
    [
        (
            {"actions": 5},
            r"^lock mine: its actions is an int, which cannot be called; define actions",
        ),
        ({"actions": print, "name": 5}, "^lock mine: its name is an int; give a text, or leave it out"),
    ],
)
def test_what_is_wrong_is_named(attributes: dict[str, Any], told: str) -> None:
    with pytest.raises(UsageError, match=told):
        completed(type("Wrong", (), attributes)(), "mine")


def test_a_preparation_that_raises_is_told_with_the_lock_s_name(tmp_path: Path) -> None:
    class Raises(Alone):
        def prepared(self, path: str) -> object:
            raise ValueError("not\nnow")

    with (
        pytest.raises(LockFailed, match=r"^lock mine: prepared\(\) raised ValueError: not now; fix the lock$"),
        prepared(completed(Raises(), "mine"), str(tmp_path / "file")),
    ):
        pass


def test_a_lock_that_cannot_be_had_says_why_whatever_is_wanted_of_it(tmp_path: Path) -> None:
    lock = Missing("theirs", "lock theirs: needs a package")
    for wanted in (lambda: lock.prepared("file"), lambda: lock.actions(3, 0, 8, write=True)):
        with pytest.raises(CannotRunError, match=r"^lock theirs: needs a package$"):
            wanted()

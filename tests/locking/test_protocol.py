from __future__ import annotations

import errno
import os
import pickle
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from lab.errors import CannotRunError
from lab.locking import Abilities, Action, Deadlock, Lock, abilities, find_lock, lock_names, prepared, probe_lock
from lab.locking.registry import OWN


class Diary:
    """A lock that writes down what is done with which descriptor."""

    name = "diary"
    summary = "a diary"
    has_ranges = True
    excludes = True

    def __init__(self) -> None:
        self.calls: list[str] = []

    def actions(self, descriptor: int, start: int, length: int, *, write: bool) -> tuple[Action, Action]:
        self.device = os.fstat(descriptor).st_dev
        return lambda: self.calls.append("acquire"), lambda: self.calls.append("release")


@pytest.mark.parametrize("name", OWN)
def test_the_probe_of_a_lock_that_works_leaves_no_file(name: str, tmp_path: Path) -> None:
    probe_lock(find_lock(name), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_the_probe_takes_the_lock_and_gives_it_back_on_the_filesystem_asked_for() -> None:
    diary = Diary()
    probe_lock(diary, Path("/dev/shm"))  # noqa: S108 - the one filesystem that every Linux has beside the root
    assert diary.calls == ["acquire", "release"]
    assert diary.device == Path("/dev/shm").stat().st_dev  # noqa: S108


def test_a_directory_that_is_not_there_cannot_be_probed(tmp_path: Path) -> None:
    missing = tmp_path / "missing"
    with pytest.raises(CannotRunError, match=f"{missing}: cannot make a file there .No such file"):
        probe_lock(find_lock("fcntl"), missing)


def test_a_deadlock_is_an_oserror_with_its_errno_also_after_pickling() -> None:
    error = Deadlock(errno.EDEADLK, "Resource deadlock avoided")
    again = pickle.loads(pickle.dumps(error))  # noqa: S301 - our own
    assert isinstance(error, OSError)
    assert (type(again), again.errno) == (Deadlock, errno.EDEADLK)


def test_a_lock_that_prepares_nothing_is_used_as_it_is(tmp_path: Path) -> None:
    diary = Diary()
    with prepared(diary, str(tmp_path / "file")) as made:
        assert made is diary


class Preparing(Diary):
    """A lock that is made once a trial."""

    @contextmanager
    def prepared(self, path: str) -> Iterator[Lock]:
        self.calls.append(f"made for {Path(path).parent.name}")
        yield self
        self.calls.append("removed")


def test_the_probe_prepares_the_lock_and_ends_it(tmp_path: Path) -> None:
    diary = Preparing()
    probe_lock(diary, tmp_path)
    assert diary.calls == [f"made for {tmp_path.name}", "acquire", "release", "removed"]


def test_every_lock_of_the_lab_claims_what_it_can_do() -> None:
    claims = {name: abilities(find_lock(name)) for name in lock_names()}
    assert [name for name, claimed in claims.items() if claimed is None] == []
    with_ranges = {name for name, entry in OWN.items() if entry.kind.excludes and not entry.whole_file}
    assert {name for name, claimed in claims.items() if claimed and claimed.ranges} == with_ranges >= {"fcntl", "ofd"}
    assert all(claimed.ranges == find_lock(name).has_ranges for name, claimed in claims.items() if claimed)


def test_a_lock_need_not_claim_anything() -> None:
    assert abilities(Diary()) is None


def test_a_claim_is_told_in_words() -> None:
    claim = Abilities(ranges=True, readers=False, threads=True, fork=False, survives_kill=True)
    assert str(claim) == "ranges, keeps threads apart, freed by a kill"

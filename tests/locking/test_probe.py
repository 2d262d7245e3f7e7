"""Whose fault it is that a lock cannot be taken once."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from lab.errors import CannotRunError, LabError
from lab.locking import Action, LockFailed, adapt, probe_lock
from lab.locking.registry import UNABLE


class Raising:
    """Whose acquire raises what it is given."""

    name, summary, has_ranges, excludes = "sour", "raises", True, True

    def __init__(self, error: BaseException) -> None:
        self._error = error

    def actions(self, descriptor: int, start: int, length: int, *, write: bool) -> tuple[Action, Action]:
        return self.acquire, lambda: None

    def acquire(self) -> None:
        raise self._error

    def release(self) -> None:
        """Never asked for."""


def wrapped(error: BaseException) -> BaseException:
    """As a library tells what it met."""
    told = NotImplementedError("no locks here")
    told.__cause__ = error
    return told


def probed(lock: Raising, folder: Path, *, foreign: bool) -> LabError:
    with pytest.raises(LabError) as raised:
        probe_lock(adapt(lambda path: lock, name="sour") if foreign else lock, folder)
    assert list(folder.iterdir()) == []
    return raised.value


@pytest.mark.parametrize("foreign", [True, False], ids=["adapted", "of the lab's kind"])
@pytest.mark.parametrize("number", sorted(UNABLE))
def test_what_the_environment_refuses_is_no_fault_of_the_lock(number: int, foreign: bool, tmp_path: Path) -> None:
    for error in (OSError(number, "no"), wrapped(OSError(number, "no"))):
        told = probed(Raising(error), tmp_path, foreign=foreign)
        assert (type(told), told.exit_code) == (CannotRunError, 3)
        assert str(told).startswith(f"lock sour: refused on {tmp_path} ({os.strerror(number)})")
        assert "--lock" in str(told)
        assert foreign or told.__cause__ is error


@pytest.mark.parametrize("foreign", [True, False], ids=["adapted", "of the lab's kind"])
@pytest.mark.parametrize(
    "error", [OSError(errno.ENOENT, "no"), OSError(errno.EBADF, "no"), ValueError("a\nb"), SystemExit(3), TypeError()]
)
def test_anything_else_is(error: BaseException, foreign: bool, tmp_path: Path) -> None:
    told = probed(Raising(error), tmp_path, foreign=foreign)
    assert (type(told), told.exit_code) == (LockFailed, 4)
    assert str(told).startswith("lock sour: acquire() raised " if foreign else "lock sour: raised ")
    assert str(told).endswith("; fix the lock")
    assert "\n" not in str(told)


def test_a_module_that_is_missing_is_to_be_installed(tmp_path: Path) -> None:
    told = probed(Raising(ModuleNotFoundError("No module named 'x'")), tmp_path, foreign=True)
    assert type(told) is CannotRunError
    assert str(told).endswith("needs a module that is missing (ModuleNotFoundError: No module named 'x'); install it")


def test_a_step_that_has_been_said_is_not_said_again(tmp_path: Path) -> None:
    with pytest.raises(LockFailed) as raised:
        probe_lock(adapt(lambda path: None, name="odd"), tmp_path)
    assert str(raised.value).endswith("nor `with`; return the lock object")

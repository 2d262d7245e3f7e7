"""Somebody who may write in the directory around a lab folder, and acts just before a chosen call on files."""

from __future__ import annotations

import builtins
import io
import mmap
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

CALLS = (
    "open",
    "mkdir",
    "unlink",
    "rmdir",
    "stat",
    "lstat",
    "listdir",
    "scandir",
    "fstat",
    "mkfifo",
    "replace",
    "rename",
)
NO_FILES = ("/proc/", "/sys/")
"""What is asked of the kernel is no call on files."""

PRECIOUS = "precious"
ALWAYS = ("file", "inner/file")


def victim_in(directory: Path, names: Sequence[str] = ()) -> Path:
    """A directory of somebody else: with a file, a folder with a file, and files of the names that the lab uses."""
    victim = directory / "victim"
    (victim / "inner").mkdir(parents=True)
    for name in (*ALWAYS, *names):
        (victim / name).write_text(PRECIOUS)
    return victim


def untouched(victim: Path, names: Sequence[str] = ()) -> bool:
    """Whether all that was there is there as it was; a new file that a lock makes by the folder's name is no harm."""
    files = [victim / name for name in (*ALWAYS, *names)]
    return all(file.is_file() and file.read_text() == PRECIOUS for file in files)


class Attacker:
    """Replaces the folder `lab-*` in a directory once, before the call on files of that number.

    The calls are counted in all processes that are forked from this one.
    """

    def __init__(self, directory: Path, number: int, put: Callable[[Path], None]) -> None:
        self._directory = directory
        self._number = number
        self._put = put
        self._count = memoryview(mmap.mmap(-1, 16)).cast("q")

    @property
    def acted(self) -> bool:
        """Whether the folder was replaced."""
        return bool(self._count[1])

    @property
    def count(self) -> int:
        """The calls on files, in all processes, while there was a folder."""
        return self._count[0]

    def hook(self, patch: pytest.MonkeyPatch) -> None:
        """Stand before every call from here on."""
        for name in CALLS:
            patch.setattr(os, name, self._before(getattr(os, name)))
        patch.setattr(io, "open", self._before(io.open))
        patch.setattr(builtins, "open", io.open)

    def _before(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def attacked(*args: Any, **kwargs: Any) -> Any:
            if not str(args[0] if args else "").startswith(NO_FILES):
                self._act()
            return call(*args, **kwargs)

        return attacked

    def _act(self) -> None:
        if self._count[1]:
            return
        folders = [each for each in _names(self._directory) if each.startswith("lab-")]
        if not folders:
            return
        self._count[0] += 1
        if self._count[0] > self._number:
            self._count[1] = 1
            place = self._directory / folders[0]
            _rename(place, self._directory / "moved")
            self._put(place)


_names, _rename = os.listdir, os.rename


def link_to(victim: Path) -> Callable[[Path], None]:
    """Puts a symbolic link to the victim's directory in the folder's place."""
    made = os.symlink
    return lambda place: made(victim, place)


def moved_in(victim: Path) -> Callable[[Path], None]:
    """Puts the victim's directory itself there."""
    return lambda place: _rename(victim, place)

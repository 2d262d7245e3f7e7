"""Use the files of a scenario's own directory, by the calls that are modelled in `lab.model.directory`.

The directory is beside the file that is mapped, with its name and an ending, and is removed with all that is in it.
Every call is relative to a descriptor of the directory, and follows no link.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from lab.errors import CannotRunError
from lab.model.directory import Call, Result

from .folder import DIRECTORY, Folder, close
from .workspace import say_left

ENDING = ".files"
FLAGS = os.O_RDWR | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC


class NamedFile(NamedTuple):
    """A file to be made: its number, which names of one file have in common, and what it holds."""

    number: int
    content: bytes


class NamedFiles:
    """The directory beside this file as one process uses it, with the files that it has open, by their slots."""

    def __init__(self, path: Path | str) -> None:
        self._directory = os.open(f"{path}{ENDING}", DIRECTORY)
        self._open: dict[int, int] = {}

    def perform(self, call: Call) -> Result:
        """Make the call; return what it returned: bytes, or a number, below 0 an error."""
        try:
            return self._perform(call)
        except OSError as error:
            return -(error.errno or 1)

    def _perform(self, call: Call) -> Result:
        within = self._directory
        if call.word in ("create", "open"):
            how = os.O_CREAT | (os.O_EXCL if call.exclusive else os.O_TRUNC) if call.word == "create" else 0
            self.close(call.slot)
            self._open[call.slot] = os.open(call.name, FLAGS | how, 0o600, dir_fd=within)
        elif call.word == "read":
            return _all_of(self._open[call.slot])
        elif call.word == "write":
            return os.write(self._open[call.slot], call.data)
        elif call.word == "sync":
            os.fsync(self._open[call.slot] if call.name else within)
        elif call.word == "rename":
            os.rename(call.name, call.other, src_dir_fd=within, dst_dir_fd=within)
        else:
            os.unlink(call.name, dir_fd=within)
        return 0

    def descriptor(self, slot: int) -> int:
        """Return the descriptor of an open file."""
        return self._open[slot]

    def close(self, slot: int) -> None:
        """Close an open file, if it is open."""
        if slot in self._open:
            os.close(self._open.pop(slot))

    def close_all(self) -> None:
        """Close all files, and the directory."""
        for slot in [*self._open]:
            self.close(slot)
        close(self._directory)


@contextmanager
def named_files(path: Path | str, first: Mapping[str, bytes | None]) -> Iterator[None]:
    """Make the directory with these files, if there are any, and remove it after the block. Raises CannotRunError."""
    if not first:
        yield
        return
    try:
        folder = Folder.make(Path(f"{path}{ENDING}"))
    except OSError as error:
        raise CannotRunError(f"{path}{ENDING}: cannot be made ({error.strerror}); try another --dir") from error
    try:
        put(path, first)
        yield
    finally:
        say_left(folder.path, folder.remove())


def put(path: Path | str, first: Mapping[str, bytes | None]) -> None:
    """Put these files, each its own, in the place of all that are in the directory; see `fill`."""
    fill(path, {name: NamedFile(at, data) for at, (name, data) in enumerate(first.items()) if data is not None})


def fill(path: Path | str, files: Mapping[str, NamedFile]) -> None:
    """Put these files in the place of all that are in the directory. Raises CannotRunError."""
    try:
        folder = Folder.at(Path(f"{path}{ENDING}"))
        folder.clear()
        made: dict[int, str] = {}
        with folder.opened() as within:
            for name, (number, content) in files.items():
                if number in made:
                    os.link(made[number], name, src_dir_fd=within, dst_dir_fd=within)
                    continue
                made[number] = name
                descriptor = os.open(name, FLAGS | os.O_CREAT | os.O_EXCL, 0o600, dir_fd=within)
                try:
                    os.write(descriptor, content)
                    os.fsync(descriptor)
                finally:
                    close(descriptor)
            with suppress(OSError):  # some filesystems have no sync of directories
                os.fsync(within)
    except OSError as error:
        raise CannotRunError(f"{path}{ENDING}: cannot be filled ({error.strerror}); try another --dir") from error


def files_left(path: Path | str) -> dict[str, bytes]:
    """Return what the files in the directory hold; nothing where there is no directory. Raises OSError."""
    try:
        folder = Folder.at(Path(f"{path}{ENDING}"))
    except FileNotFoundError:
        return {}
    found: dict[str, bytes] = {}
    with folder.opened() as within:
        for name in folder.names():
            descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=within)
            try:
                found[name] = _all_of(descriptor)
            finally:
                close(descriptor)
    return found


def _all_of(descriptor: int) -> bytes:
    return os.pread(descriptor, os.fstat(descriptor).st_size, 0)

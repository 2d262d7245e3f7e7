"""Make a folder, and remove it with the files in it by descriptors and inode numbers, never by name alone.

A process that may write in the directory around a folder may rename the folder at any moment and put a symbolic link,
or another folder, in its place. A removal by path names would then delete what the link leads to. So every call here is
relative to a descriptor of the folder (openat(2), unlinkat(2)); a descriptor is opened without following a link
(O_NOFOLLOW) and used only where fstat(2) shows the device and the inode that were noted when the folder was made. Where
a filesystem changes these numbers the folder is left, and a message says so: nothing is ever deleted by guess.

No call of Linux can remove a name only if it still leads to a certain inode. Between the last look and rmdir(2) another
empty folder may take the place: no file can be lost by that.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from errno import ELOOP, ENOENT, ENOTDIR, ENOTEMPTY, ESTALE
from pathlib import Path
from typing import NamedTuple

from lab.errors import printable

DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
REFERENCE = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC

DEEPEST = 32
"""Levels of folders that are emptied; each takes two descriptors."""

SHOWN_NAMES = 3
REPLACED = "somebody replaced it just after it was made"
LEADS_ELSEWHERE = frozenset({ELOOP, ENOTDIR, ENOENT})

_kept: dict[str, tuple[Folder, int]] = {}
"""The folders of which this process keeps a descriptor, by their paths; a child inherits both."""


class Exchanged(OSError):  # noqa: N818 - what happened
    """The path leads to another folder than the one that was made."""


class Folder(NamedTuple):
    """A directory as it was when it was made or first looked at: its path, and its device and inode (stat(2)).

    It can be sent to another process, and used there.
    """

    path: Path
    device: int
    inode: int

    @classmethod
    def make(cls, path: Path) -> Folder:
        """Make it, for its owner only. Raises OSError, and Exchanged where another process replaced it at once."""
        name, within = place_of(path)
        os.mkdir(name, 0o700, dir_fd=within)
        try:
            with _descriptor(name, within, DIRECTORY) as descriptor:
                if os.listdir(descriptor):  # noqa: PTH208 - of a descriptor
                    raise Exchanged(ENOTEMPTY, REPLACED)
                return cls._of(path, os.fstat(descriptor))
        except OSError as error:
            with suppress(OSError):  # refused where it is not empty, or no directory
                os.rmdir(name, dir_fd=within)
            if error.errno in LEADS_ELSEWHERE:
                raise Exchanged(error.errno, REPLACED) from error
            raise

    @classmethod
    def at(cls, path: Path) -> Folder:
        """Return the directory that is there now, or was when this process began to keep it open. Raises OSError."""
        kept = _kept_of(path)
        return kept[0] if kept else cls._of(path, path.stat())

    @classmethod
    def holding(cls, path: Path, name: str, content: bytes) -> Folder | None:
        """Return the directory that is there now, which is no link, if its file of that name has that content.

        Raises OSError.
        """
        with _descriptor(path, None, DIRECTORY) as within, _descriptor(name, within, FILE) as file:
            return cls._of(path, os.fstat(within)) if os.read(file, len(content) + 1) == content else None

    @classmethod
    def _of(cls, path: Path, found: os.stat_result) -> Folder:
        return cls(path, found.st_dev, found.st_ino)

    def is_at(self, descriptor: int) -> bool:
        """Return True where this is a descriptor of it."""
        try:
            found = os.fstat(descriptor)
        except OSError:
            return False
        return (found.st_dev, found.st_ino) == (self.device, self.inode)

    @contextmanager
    def kept_open(self) -> Iterator[None]:
        """Keep a descriptor of it open within the block, by which the calls below find it wherever it is moved.

        Raises OSError.
        """
        with _descriptor(*place_of(self.path), DIRECTORY) as descriptor:
            self._check(descriptor)
            _kept[str(self.path)] = self, descriptor
            try:
                yield
            finally:
                _kept.pop(str(self.path), None)

    @contextmanager
    def opened(self) -> Iterator[int]:
        """Open a descriptor of it. Raises OSError, Exchanged where the path leads elsewhere."""
        kept = _kept_of(self.path)
        if kept and kept[0] == self:
            yield kept[1]
            return
        with _descriptor(
            self.path, None, DIRECTORY & ~os.O_NOFOLLOW
        ) as descriptor:  # the numbers say what a link led to
            self._check(descriptor)
            yield descriptor

    def _check(self, descriptor: int) -> None:
        if not self.is_at(descriptor):
            raise Exchanged(ESTALE, "another folder is in its place")

    def names(self) -> list[str]:
        """Return the names of its entries. Raises OSError."""
        with self.opened() as descriptor:
            return os.listdir(descriptor)  # noqa: PTH208 - of a descriptor

    def unlink(self, name: str) -> None:
        """Remove one name in it, if it is there. Raises OSError, Exchanged where the path leads elsewhere."""
        with self.opened() as descriptor, suppress(FileNotFoundError):
            os.unlink(name, dir_fd=descriptor)

    def clear(self, wanted: Callable[[str], bool] = lambda name: True) -> list[str]:
        """Remove what is in it, of the names that are wanted; return the names of what is left. Raises OSError.

        Folders in it are gone through, but no link is followed and no mount entered.
        """
        with self.opened() as descriptor:
            return _emptied(descriptor, wanted)

    def remove(self) -> str:
        """Remove it with all that is in it; return why it is still there, empty where it is gone. Raises no OSError.

        Where it was moved away it is emptied, and stays under its new name.
        """
        left: list[str] = []
        try:
            with suppress(OSError):  # what is wrong, the next call meets too
                left = self.clear()
            return self._remove_name()
        except FileNotFoundError:
            return self._moved_to()
        except OSError as error:
            return _listed(left) or error.strerror or str(error)

    def _remove_name(self) -> str:
        """Remove the name if it still leads to the folder; return what is wrong, empty where nothing is."""
        with _parent(self.path) as parent:
            found = os.stat(self.path.name, dir_fd=parent, follow_symlinks=False)
            if (found.st_dev, found.st_ino) != (self.device, self.inode):
                kind = "a symbolic link" if stat.S_ISLNK(found.st_mode) else "something else"
                return f"{kind} is in its place, which is left alone; what was in the folder may be elsewhere"
            os.rmdir(self.path.name, dir_fd=parent)
            return ""

    def _moved_to(self) -> str:
        """Return its path where it has another name now: known to the process that keeps it open (proc_pid_fd(5))."""
        kept = _kept_of(self.path)
        if not kept or not os.fstat(kept[1]).st_nlink:
            return ""
        return f"somebody moved it to {printable(os.readlink(f'/proc/self/fd/{kept[1]}'))}; it is emptied"  # noqa: PTH115


def open_file(path: Path | str, flags: int, mode: int = 0o600) -> int:
    """Open a file (open(2)), in the folder that this process keeps open if it is there; a link is not followed.

    A new file has to be requested with O_EXCL. Raises OSError.
    """
    name, within = place_of(path)
    return os.open(name, flags | os.O_NOFOLLOW, mode, dir_fd=within)


def remove_file(path: Path | str) -> None:
    """Remove a file (unlink(2)), in the folder that this process keeps open if it is there. Raises OSError."""
    name, within = place_of(path)
    os.unlink(name, dir_fd=within)


def status(path: Path | str) -> os.stat_result:
    """Return the status of a file (stat(2)), in the folder that this process keeps open if it is there.

    Raises OSError.
    """
    name, within = place_of(path)
    return os.stat(name, dir_fd=within)


def enter(folder: Path) -> None:
    """Make it the working directory (fchdir(2)), wherever it is now. Raises OSError."""
    with Folder.at(folder).opened() as descriptor:
        os.chdir(descriptor)


def _kept_of(folder: Path | str) -> tuple[Folder, int] | None:
    """Return the folder of this path and its descriptor, where this process keeps one and has not closed it since."""
    kept = _kept.get(str(folder))
    return kept if kept and kept[0].is_at(kept[1]) else None


def place_of(path: Path | str) -> tuple[str, int | None]:
    """Return the arguments of a call that takes a path relative to a descriptor (openat(2)), which may be none."""
    parent, name = os.path.split(path)
    kept = _kept_of(parent)
    return (name, kept[1]) if kept else (str(path), None)


@contextmanager
def _parent(path: Path) -> Iterator[int]:
    kept = _kept_of(path.parent)
    if kept:
        yield kept[1]
        return
    with _descriptor(path.parent, None, REFERENCE) as descriptor:
        yield descriptor


def _listed(left: list[str]) -> str:
    more = ", ..." if len(left) > SHOWN_NAMES else ""
    return f"holds {', '.join(map(printable, sorted(left)[:SHOWN_NAMES]))}{more}" if left else ""


def close(descriptor: int) -> None:
    """Close a descriptor to which nothing was written.

    An error loses nothing, and the descriptor is closed nevertheless (close(2)).
    """
    with suppress(OSError):
        os.close(descriptor)


@contextmanager
def _descriptor(path: Path | str, within: int | None, flags: int) -> Iterator[int]:
    descriptor = os.open(path, flags, dir_fd=within)
    try:
        yield descriptor
    finally:
        close(descriptor)


def _emptied(folder: int, wanted: Callable[[str], bool], levels: int = DEEPEST) -> list[str]:
    """Remove what is in the folder; return the names that could not be removed."""
    with suppress(OSError):
        os.fchmod(folder, 0o700)  # its owner may have closed it to himself
    return [name for name in os.listdir(folder) if wanted(name) and not _gone(name, folder, levels)]


def _gone(name: str, folder: int, levels: int) -> bool:
    """Remove a name in the folder, and whatever is under it if it is a folder; return False where it is refused."""
    try:
        os.unlink(name, dir_fd=folder)
    except FileNotFoundError:
        return True
    except (IsADirectoryError, PermissionError):  # POSIX has EPERM for a directory
        return levels > 0 and _folder_gone(name, folder, levels)
    except OSError:
        return False
    return True


def _folder_gone(name: str, folder: int, levels: int) -> bool:
    try:
        _let_owner_in(name, folder)
        with _descriptor(name, folder, DIRECTORY) as inner:
            if _mount_of(inner) != _mount_of(folder):
                return False
            _emptied(inner, lambda _: True, levels - 1)
        os.rmdir(name, dir_fd=folder)
    except OSError:
        return False
    return True


def _let_owner_in(name: str, folder: int) -> None:
    """Give the owner the permissions to read it, which the owner may have removed; only root does not need them.

    The call goes through the link of a descriptor in /proc, since chmod(2) of a name would follow another link
    (open(2), O_PATH).
    """
    with _descriptor(name, folder, REFERENCE | os.O_NOFOLLOW) as inner:
        if _mount_of(inner) == _mount_of(folder):
            Path(f"/proc/self/fd/{inner}").chmod(0o700)


def _mount_of(descriptor: int) -> tuple[int, str]:
    """Return the device and the number of the mount (proc_pid_fdinfo(5)).

    A bind mount has the device of what it shows.
    """
    lines = Path(f"/proc/self/fdinfo/{descriptor}").read_text().splitlines()
    return os.fstat(descriptor).st_dev, next(line for line in lines if line.startswith("mnt_id:"))

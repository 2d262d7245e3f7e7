"""Make the fresh directory of a run and the files in it, read them back, and remove all of it.

Where a run has several directories, they are one and the same, seen through different mounts. The fresh directory is
made through the first of them. A file in it, read through each of the others, shows that it is the same.
"""

from __future__ import annotations

import errno
import mmap
import os
import stat
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from errno import EMFILE, ENFILE
from itertools import combinations
from pathlib import Path

from lab.errors import CannotRunError, UsageError, printable
from lab.host.procfs import mount_id
from lab.output import complain

from .folder import Folder, close, open_file, remove_file

SHOWN_S = 2.0
"""The longest time until a file made through one directory is seen through another (nfs(5), attribute caching)."""

TRY_AGAIN_S = 0.02
NAME = "shown"
CONTENT = b"made by the lab\n"


def check_apart(directories: Sequence[Path], option: str = "") -> None:
    """Refuse two directories of one mount: the second shows nothing that the first does not show.

    `option` stands before the names in the error, where they came with one. Raises UsageError, and OSError for a
    directory that cannot be opened.
    """
    for one, other in combinations(directories, 2):
        if mount_id(one) == mount_id(other):
            raise UsageError(f"{option}{one} and {other}: {_wrong(one, other)}")


def _wrong(one: Path, other: Path) -> str:
    """Return what is wrong with two directories of one mount, and what to do."""
    first, second = one.stat(), other.stat()
    if (first.st_dev, first.st_ino) == (second.st_dev, second.st_ino):
        return "are the same mount; give only one, or the same directory by another mount"
    return "are not the same directory; give only one, or one and the same through two mounts"


def show(folder: Folder) -> None:
    """Make a file in it that is searched for through the other directories. Raises OSError."""
    with folder.opened() as within:
        descriptor = os.open(NAME, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600, dir_fd=within)
        with open(descriptor, "wb") as file:  # noqa: PTH123 - of a descriptor
            file.write(CONTENT)


def hide(folder: Folder) -> None:
    """Remove that file. Raises OSError."""
    folder.unlink(NAME)


def find(made: Path, seen: Path, option: str = "") -> Folder:
    """Return the folder `made`, in which `show` made its file, as it is seen under its other path.

    Raises CannotRunError where it is not seen there within SHOWN_S; `option` is as for `check_apart`.
    """
    deadline = time.monotonic() + SHOWN_S
    while isinstance(found := _folder_seen(seen), str):
        if time.monotonic() > deadline:
            raise CannotRunError(
                f"{option}{made.parent} and {seen.parent}: do not show the same filesystem; a file written through "
                f"the first and read through the second: {found}; give one directory, seen through two mounts"
            )
        time.sleep(TRY_AGAIN_S)
    return found


def _folder_seen(path: Path) -> Folder | str:
    """Return the folder that is there, if it holds the file that identifies it; else a description of the problem."""
    try:
        return Folder.holding(path, NAME, CONTENT) or "other bytes"
    except OSError as error:
        return error.strerror or str(error)


OPTION = "--dir "
"""The option that names the directories; errors begin with it."""

LESS = "ask for less: fewer rounds or workers, smaller sizes"
"""The advice where memory or a disk is too small, whichever command needed it."""

NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


def create(path: Path, content: bytes | bytearray, *, sparse: bool) -> None:
    """Make a new file with this content; its blocks are reserved unless it is sparse.

    They are reserved because a store through a mapping into a block that the filesystem cannot find room for is
    answered with SIGBUS (mmap(2)), while posix_fallocate(3) says so beforehand. Raises CannotRunError.
    """
    try:
        descriptor = open_file(path, os.O_RDWR | os.O_CREAT | os.O_EXCL)
        try:
            _fill(descriptor, content, sparse=sparse)
        except BaseException:
            remove_file(path)
            raise
        finally:
            os.close(descriptor)
    except OSError as error:
        remedy = f"free some, or {LESS}" if error.errno in NO_ROOM else "try another --dir"
        raise CannotRunError(
            f"{path.parent}: cannot make a file of {len(content):,} bytes ({error.strerror}); {remedy}"
        ) from error


@contextmanager
def new_file(path: Path, content: bytes | bytearray, *, sparse: bool) -> Iterator[None]:
    """Do as `create`, and remove the file after the block; else it is removed or named with its folder."""
    folder = None
    with suppress(OSError):  # in which nothing can be made either
        folder = Folder.at(path.parent)
    create(path, content, sparse=sparse)
    try:
        yield
    finally:
        with suppress(OSError):
            if folder:
                folder.unlink(path.name)


def _fill(descriptor: int, content: bytes | bytearray, *, sparse: bool) -> None:
    """Write all of the content; where it is sparse, only the pages that hold anything."""
    if sparse:
        os.ftruncate(descriptor, len(content))
        for start, page in written_pages(content):
            os.pwrite(descriptor, page, start)
        return
    os.posix_fallocate(descriptor, 0, len(content))
    done = 0
    while done < len(content):  # write(2) takes at most 2 GiB a call
        done += os.pwrite(descriptor, memoryview(content)[done:], done)


def written_pages(content: bytes | bytearray) -> Iterator[tuple[int, bytes | bytearray]]:
    """Yield each page that holds more than zeros, with the byte at which it starts."""
    for start in range(0, len(content), mmap.PAGESIZE):
        page = content[start : start + mmap.PAGESIZE]
        if page.strip(b"\0"):
            yield start, page


def read_back(path: Path, size: int) -> bytearray:
    """Return the bytes left in the file, read through a new descriptor; zeros where it became shorter.

    They are read, not mapped: a file that was truncated must not kill the reader with SIGBUS. Raises CannotRunError
    where it is gone.
    """
    content = bytearray(size)
    try:
        with open(open_file(path, os.O_RDONLY), "rb", buffering=0) as file, memoryview(content) as view:  # noqa: PTH123
            done = 0
            while got := file.readinto(view[done:]):  # read(2) gives at most 2 GiB a call
                done += got
    except OSError as error:
        raise CannotRunError(
            f"{path}: cannot be read back after the race ({error.strerror}); let nobody else touch it"
        ) from error
    return content


def map_file(descriptor: int, size: int, *, private: bool = False) -> mmap.mmap:
    """Map the first `size` bytes of an open file, for reading and writing (mmap(2)); raises OSError."""
    return mapped(descriptor, size, mmap.MAP_PRIVATE if private else mmap.MAP_SHARED)


def mapped(descriptor: int, size: int, flags: int) -> mmap.mmap:
    """Map the same with these flags.

    Raises OSError, ENODATA where the file is shown shorter: its size may come late.
    """
    try:
        return mmap.mmap(descriptor, size, flags)
    except ValueError:  # Python looks at the size before it asks the kernel
        shown = os.fstat(descriptor).st_size
        if shown >= size:
            raise
        raise OSError(errno.ENODATA, f"shows {shown:,} of the {size:,} bytes of a file") from None


@contextmanager
def companions(path: Path, suffixes: Sequence[str]) -> Iterator[None]:
    """Make empty files beside this one, of its name and these suffixes, removed after the block.

    Raises CannotRunError.
    """
    with ExitStack() as made:
        for suffix in suffixes:
            made.enter_context(new_file(path.with_name(path.name + suffix), b"", sparse=True))
        yield


WANTED = "give a directory on the filesystem in question"
SPARE = 1
"""The number of descriptors that are kept for the removal, which takes one at a time.

There may be no others left by then.
"""


@contextmanager
def workspaces(parents: Sequence[Path]) -> Iterator[list[Path]]:
    """Yield a new directory inside the parents, which are one seen through different mounts, by its path in each.

    It is removed on every way out; nothing else there is ever touched. Whatever another process puts in its place
    meanwhile is left as it is; what is left behind is named on stderr. Raises UsageError where a parent is
    missing or no directory, or two are of one mount; CannotRunError where one is out of reach, cannot be written, or
    does not show what is made through the first.
    """
    for parent in parents:
        check_parent(parent)
    check_apart(parents, OPTION)
    name = f"lab-{os.getpid()}-{time.time_ns():x}"
    with ExitStack() as spare, ExitStack() as kept:
        folder = _made(parents[0] / name, spare, kept)
        try:
            yield [folder.path, *_found(folder, [parent / name for parent in parents[1:]], spare)]
        finally:
            spare.close()
            say_left(folder.path, folder.remove())


@contextmanager
def workspace(parent: Path) -> Iterator[Path]:
    """Yield a new directory inside one parent: see `workspaces`."""
    with workspaces([parent]) as (folder,):
        yield folder


@contextmanager
def scratch(directory: Path) -> Iterator[Path]:
    """Make a new empty file in the directory to try something on, removed after; raises OSError where that fails."""
    name = f"probe-{os.getpid()}-{time.time_ns():x}"
    folder = Folder.at(directory)
    with folder.opened() as within:
        os.close(os.open(name, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600, dir_fd=within))
    try:
        yield directory / name
    finally:
        folder.unlink(name)


def say_left(folder: Path, why: str) -> None:
    """Name on stderr a folder that could not be removed, with the reason; an empty reason means that it is gone."""
    if why:
        told = f"{printable(str(folder))}: left behind, for it could not be removed ({why}); remove it by hand"
        complain(told)


def _made(path: Path, spare: ExitStack, kept: ExitStack) -> Folder:
    """Make the directory; `spare` gets the descriptors to close before it is removed, `kept` the folder's own."""
    try:
        for _ in range(SPARE):
            spare.callback(close, os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC))
        folder = Folder.make(path)
        try:
            kept.enter_context(folder.kept_open())
        except BaseException:
            spare.close()
            folder.remove()
            raise
    except OSError as error:
        remedy = "raise the limit (ulimit -n)" if error.errno in (EMFILE, ENFILE) else "give another"
        raise CannotRunError(f"--dir {path.parent}: cannot be written ({error.strerror}); {remedy}") from error
    return folder


def _found(folder: Folder, paths: Sequence[Path], kept: ExitStack) -> list[Path]:
    """Return these paths, by which the folder is seen through other mounts; each is kept open by `kept`."""
    if not paths:
        return []
    try:
        show(folder)
        for path in paths:
            kept.enter_context(find(folder.path, path, OPTION).kept_open())
        hide(folder)
    except OSError as error:
        where = f"{OPTION}{folder.path.parent}"
        raise CannotRunError(f"{where}: cannot be used ({error.strerror}); give another") from error
    return list(paths)


def check_parent(parent: Path) -> None:
    """Raise UsageError where the directory that `--dir` names does not exist, or is none.

    Raises CannotRunError where that cannot be seen.
    """
    try:
        if stat.S_ISDIR(parent.stat().st_mode):
            return
    except (FileNotFoundError, NotADirectoryError):
        raise UsageError(f"--dir {parent}: does not exist; {WANTED}") from None
    except OSError as error:
        raise CannotRunError(f"--dir {parent}: cannot be reached ({error.strerror}); give another") from error
    raise UsageError(f"--dir {parent}: is not a directory; {WANTED}")

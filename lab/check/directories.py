"""The directories under test: judged before anything else is done, and one fresh folder in all of them."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import combinations
from pathlib import Path

from lab.errors import CannotRunError, LabError, UsageError
from lab.processes import Crew, cpus_for, detach_output, stops_held
from lab.processes.streams import complain
from lab.regions import scratch

from .mounted import mount_id, mounts_of

__all__ = ["mounts_of", "places"]

ANSWER_S = 5.0
"""A mount that takes longer for its first calls, or to remove the folder, does not answer."""

SHOWN_S = 2.0
"""How long a file made through one directory may take to be seen through another (nfs(5), attribute caching)."""

TRY_AGAIN_S = 0.02
SHOWN_NAMES = 3
SHOWN = "shown"
CONTENT = b"made by a check of locks\n"
NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT})
NOT_ALLOWED = frozenset({errno.EACCES, errno.EPERM})


@contextmanager
def places(directories: Sequence[Path]) -> Iterator[list[Path]]:
    """One fresh folder, by its path in each of the directories; it is removed on every way out.

    Nothing else there is ever touched. What cannot be removed is named on stderr. Raises UsageError for what are not
    directories, may not be used, or are not one and the same directory seen through different mounts; CannotRunError
    where they cannot be written, are full, or do not answer.
    """
    for directory in directories:
        _answers(directory)
    for one, other in combinations(directories, 2):
        _check_apart(one, other)
    name = _fresh_name()
    folders = [directory / name for directory in directories]
    try:
        with stops_held():
            _make(folders[0])
        for folder in folders[1:]:
            _check_same(folders[0], folder)
        (folders[0] / SHOWN).unlink()
        yield folders
    finally:
        with stops_held():
            _clear(folders[0])


def answers(folder: Path) -> bool:
    """Whether a file can still be made and removed in the folder; tried in a child, where it may hang."""

    def attempt() -> None:
        with scratch(folder):
            pass

    return _within(attempt)


def _answers(directory: Path) -> None:
    """Try it in a child, where it may hang; and where it answers there, here, for that tells why it is refused."""

    def attempt() -> None:
        with suppress(LabError):
            _try(directory)

    if not _within(attempt):
        raise CannotRunError(
            f"{directory}: does not answer within {ANSWER_S:g} s, a folder lab-check-* may be left in it; "
            "look whether its server lives, or unmount it by force (umount -f)"
        )
    _try(directory)


def _try(directory: Path) -> None:
    """Make a folder and a file in it, and remove them; raises what `places` raises."""
    _check_directory(directory)
    made = directory / _fresh_name()
    try:
        _make(made)
    finally:
        _remove(made)


def _check_directory(directory: Path) -> None:
    try:
        os.listdir(directory)  # noqa: PTH208 - it fails at once, Path.iterdir only later
    except NotADirectoryError:
        raise UsageError(f"{directory}: is not a directory; give one on the filesystem in question") from None
    except FileNotFoundError:
        raise UsageError(f"{directory}: does not exist; give a directory on the filesystem in question") from None
    except OSError as error:
        raise _refused(directory, error, "read") from error


def _make(folder: Path) -> None:
    """A new folder with one file in it that others can be asked for."""
    try:
        folder.mkdir(0o700)
        (folder / SHOWN).write_bytes(CONTENT)
    except OSError as error:
        raise _refused(folder.parent, error, "written") from error


def _refused(directory: Path, error: OSError, done: str) -> LabError:
    """The error in words."""
    if error.errno in NOT_ALLOWED:
        return UsageError(f"{directory}: no permission ({error.strerror}); give a directory that you may write")
    if error.errno in NO_ROOM:
        return CannotRunError(f"{directory}: is full ({error.strerror}); make room, or give another directory")
    return CannotRunError(f"{directory}: cannot be {done} ({error.strerror}); give another directory")


def _check_apart(one: Path, other: Path) -> None:
    """Refuse two directories of one mount: they say nothing that one of them does not say."""
    if mount_id(one) != mount_id(other):
        return
    first, second = one.stat(), other.stat()
    if (first.st_dev, first.st_ino) == (second.st_dev, second.st_ino):
        raise UsageError(
            f"{one} and {other}: are the same mount; give only one, or the same directory by another mount"
        )
    raise UsageError(
        f"{one} and {other}: are not the same directory; give only one, or one and the same through two mounts"
    )


def _check_same(made: Path, seen: Path) -> None:
    """Read through the other directory what was written through the first."""
    deadline = time.monotonic() + SHOWN_S
    while (found := _read(seen / SHOWN)) != CONTENT:
        if time.monotonic() > deadline:
            there = found if isinstance(found, str) else "other bytes"
            raise UsageError(
                f"{made.parent} and {seen.parent}: do not show the same filesystem; a file written through the first "
                f"and read through the second: {there}; give one directory, seen through two mounts"
            )
        time.sleep(TRY_AGAIN_S)


def _read(path: Path) -> bytes | str:
    try:
        return path.read_bytes()
    except OSError as error:
        return error.strerror or str(error)


def _clear(folder: Path) -> None:
    """Remove the folder, in a child: a mount that no longer answers must not hold the program; say what is left."""

    def attempt() -> None:
        deadline = time.monotonic() + SHOWN_S
        while not _remove(folder) and time.monotonic() < deadline:
            time.sleep(TRY_AGAIN_S)

    try:
        answers = _within(attempt)
    except CannotRunError:  # no process to spare
        attempt()
        answers = True
    if not answers:
        _say_left(folder, "the mount does not answer any more")
        return
    try:
        names = ", ".join(sorted(path.name for path in folder.iterdir())[:SHOWN_NAMES])
        _say_left(folder, f"holds {names or 'nothing'}")
    except FileNotFoundError:
        pass
    except OSError as error:
        _say_left(folder, error.strerror or str(error))


def _say_left(folder: Path, why: str) -> None:
    complain(f"{folder}: left behind, for it could not be removed ({why}); remove it by hand")


def _remove(folder: Path) -> bool:
    """Empty and remove a folder of plain files; True when it is gone.

    A file that a stuck process has open comes back under another name on FUSE (.fuse_hidden), and stays.
    """
    try:
        for entry in folder.iterdir():
            with suppress(OSError):
                entry.unlink(missing_ok=True)
        folder.rmdir()
    except OSError as error:
        return error.errno == errno.ENOENT
    return True


def _within(attempt: Callable[[], None]) -> bool:
    """Run it in a child; False where that does not end in time."""

    def prepare(_: int) -> Callable[[], None]:
        detach_output()
        return attempt

    with Crew(1, prepare, cpus_for("none")) as crew:
        crew.gather(ANSWER_S)
        crew.release()
        (ended,) = crew.wait(ANSWER_S)
    return not ended.late


def _fresh_name() -> str:
    return f"lab-check-{os.getpid()}-{time.time_ns():x}"

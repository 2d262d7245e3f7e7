"""Choose what records a program: the preloaded library, a tracer from outside, or the kernel; and into which folder."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from fcntl import LOCK_EX, LOCK_NB, flock
from pathlib import Path
from shutil import rmtree
from tempfile import TemporaryDirectory, gettempdir

from lab.errors import CannotRunError
from lab.processes.copies import Watcher
from lab.processes.follower import Follower
from lab.records import WatchOptions

from .levels import check_level


def library() -> Path:
    """Return the path of the library. Raises CannotRunError where it was not compiled."""
    found = next(iter(sorted(Path(__file__).parent.glob("_watch*.so"))), None)
    if found is None:
        raise CannotRunError(
            "the library that watches was not compiled when the lab was installed; "
            "install a C compiler and install the lab again"
        )
    return found


def variables_for(folder: Path, preloaded: Path) -> dict[str, str]:
    """Return the variables with which a program is watched by the library, and writes its logs into the folder."""
    return {
        "LD_PRELOAD": ":".join(filter(None, [os.environ.get("LD_PRELOAD"), str(preloaded)])),  # next to the kernel
        "LAB_WATCH_DIR": str(folder),
    }


Recording = AbstractContextManager[tuple[dict[str, str], Watcher | None]]
"""Yields what the programs have in their environment, and what watches them from outside."""


def _by_library(options: WatchOptions) -> Callable[[Path], Recording]:
    preloaded = library()
    check_level(options.level)

    @contextmanager
    def record(folder: Path) -> Iterator[tuple[dict[str, str], Watcher | None]]:
        variables = {
            **variables_for(folder, preloaded),
            "LAB_WATCH_FILES": "\n".join(options.files),
            "LAB_WATCH_OUTPUT": _outputs(),
            "LAB_WATCH_LEVEL": options.level,
        }
        yield variables, None

    return record


def _by_tracer(options: WatchOptions) -> Callable[[Path], Recording]:
    from .outside import Outside

    check_level(options.level)
    sees_pages = options.level == "pages"

    @contextmanager
    def record(folder: Path) -> Iterator[tuple[dict[str, str], Watcher | None]]:
        with Follower(
            lambda: Outside(folder, options.files, _outputs(), sees_pages=sees_pages), *Outside.filters()
        ) as follower:
            yield {}, follower

    return record


def _by_kernel(options: WatchOptions) -> Callable[[Path], Recording]:
    from .kernel import KernelWatcher

    @contextmanager
    def record(folder: Path) -> Iterator[tuple[dict[str, str], Watcher | None]]:
        words = [word for copy in range(options.copies) for word in command_of(options, copy)]
        with KernelWatcher(folder, options.files, words) as watcher:
            yield {}, watcher

    return record


RECORDERS = {"library": _by_library, "tracer": _by_tracer, "kernel": _by_kernel}
WHY_NOT = {
    "library": "it is a static program, or it is set-user-ID; the loader preloads nothing into "
    "those (ld.so(8)); watch it with --from-outside",
    "tracer": "it ended before its first call",
}
"""Why nothing was recorded."""


def command_of(options: WatchOptions, copy: int) -> list[str]:
    """Return the command of a copy, with its number in it."""
    placeholders = {"{worker}": copy, "{workers}": options.copies}
    words = options.command
    for name, value in placeholders.items():
        words = [word.replace(name, str(value)) for word in words]
    return words


def _outputs() -> str:
    """Return the files that the standard streams of this process are, as the library compares them."""
    found = []
    for stream in (0, 1, 2):
        with suppress(OSError):
            its = os.fstat(stream)
            found.append(f"{os.major(its.st_dev)}:{os.minor(its.st_dev)}:{its.st_ino},")
    return "".join(found)


PREFIX, YOUNG_S = "lab-watch-", 60.0
"""How the folders for logs are named, and how old one is at most that is perhaps not locked yet."""


@contextmanager
def _locked(folder: Path) -> Iterator[bool]:
    """Lock a folder for as long as this process lives, or the block; yield whether nobody else has."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        mine = False
        with suppress(OSError):  # another has it, or this filesystem has no locks
            flock(descriptor, LOCK_EX | LOCK_NB)
            mine = True
        yield mine
    finally:
        os.close(descriptor)


@contextmanager
def log_folder() -> Iterator[Path]:
    """Yield an empty folder for logs, which goes with the block, and which nobody takes for abandoned meanwhile."""
    with TemporaryDirectory(prefix=PREFIX, ignore_cleanup_errors=True) as temporary, _locked(Path(temporary)):
        yield Path(temporary)


def remove_abandoned_folders() -> None:
    """Remove the folders for logs of this user's labs that were killed."""
    for folder in Path(gettempdir()).glob(f"{PREFIX}*"):
        with suppress(OSError):
            its = folder.lstat()
            if its.st_uid == os.getuid() and time.time() - its.st_mtime > YOUNG_S:
                with _locked(folder) as abandoned:
                    if abandoned:
                        rmtree(folder, ignore_errors=True)

"""Choose what records a program: the preloaded library, a tracer from outside, or the kernel's tracepoints."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path

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
